import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import { buffer, text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { MessageChannel, Worker } from 'node:worker_threads';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { NativeHelper } from '../../../../src/host/native/helper.ts';
import type { StepResult } from '../../../../src/host/native/messages.ts';
import type { SpawnStep } from '../../../../src/host/native/steps.ts';
import { serveThread } from '../../../../src/host/native/thread.ts';
import { eventually } from '../../../lib/eventually.ts';

const execute = promisify(execFile);
const { stdout: sanitized } = await execute('src/native/build', ['--sanitize']);

interface Piped {
  pid: number;
  input: Socket;
  output: Socket;
  ended: Promise<StepResult[]>;
}

/** A shell with its input and output in pipes to this process. */
function start(
  helper: NativeHelper,
  script: string,
  more: Partial<SpawnStep> = {},
  signal?: AbortSignal,
): Promise<Piped> {
  return new Promise((resolve, reject) => {
    const started = (pid: number, pipes: ReadonlyMap<number, number>) => {
      const [input, output] = [pipes.get(0)!, pipes.get(1)!];
      resolve({
        pid,
        input: new Socket({ fd: input, readable: false, writable: true }).on('error', () => undefined),
        output: new Socket({ fd: output, readable: true, writable: false }),
        ended,
      });
    };
    const step: SpawnStep = {
      do: 'spawn',
      argv: ['/bin/sh', '-c', script],
      env: { PATH: process.env['PATH'] },
      cwd: '/',
      descriptors: { 0: { kind: 'pipe-in' }, 1: { kind: 'pipe-out' } },
      started,
      ...more,
    };
    const ended = helper.request([step], { signal });
    ended.catch(reject);
  });
}

for (const [kind, program] of [
  ['shipped', undefined],
  ['sanitized', sanitized.trim()],
] as const) {
  const helperOf = (t: ExecutionContext) => {
    const helper = new NativeHelper(program);
    t.teardown(() => helper.close());
    return helper;
  };

  test(`${kind}: pipes carry data and end-of-file both ways`, async (t) => {
    const { input, output, ended } = await start(helperOf(t), 'cat; readlink /proc/self/fd/0 >&1');
    const content = Buffer.alloc(5_000_000, 'abcdefg');
    input.end(content);
    const all = await buffer(output);
    t.true(all.subarray(0, content.length).equals(content));
    t.regex(all.subarray(content.length).toString(), /^pipe:\[\d+\]\n$/);
    t.deepEqual((await ended)[0]?.exit, { code: 0, signal: undefined });
  });

  test(`${kind}: output of a finished program can be read`, async (t) => {
    const { input, output, ended } = await start(helperOf(t), 'echo said');
    t.is((await ended)[0]?.exit?.code, 0);
    t.is(await text(output), 'said\n');
    // Nobody reads its input any more.
    input.write('lost');
    await new Promise((resolve) => input.once('close', resolve));
    t.true(input.destroyed);
  });

  test(`${kind}: a failed start closes its pipes`, async (t) => {
    const { output, ended } = await start(helperOf(t), '', { argv: ['no-such-program'] });
    t.is(await text(output), '');
    t.is((await ended)[0]?.code, 'ENOENT');
  });

  test.serial(`${kind}: finished and cancelled sessions leave no descriptor`, async (t) => {
    const helper = helperOf(t);
    await helper.request([{ do: 'stat', path: '/' }]);
    const before = [await openFiles(helper.pid!), await openFiles(process.pid)];
    for (let round = 0; round < 5; round++) {
      const sessions = Array.from({ length: 20 }, async (_, index) => {
        const cancel = new AbortController();
        const { input, output, ended } = await start(helper, 'exec cat', {}, cancel.signal);
        if (index % 2 === 0) input.end('x');
        else cancel.abort();
        t.is(await text(output), index % 2 === 0 ? 'x' : '');
        t.is((await ended)[0]?.status, index % 2 === 0 ? 'done' : 'cancelled');
        input.destroy();
      });
      await Promise.all(sessions);
    }
    // A cancelled request whose pipes are never opened, and one that is cancelled before they are offered.
    const cancel = new AbortController();
    const untaken = helper.request([spawnStep()], { signal: cancel.signal });
    cancel.abort();
    t.regex((await untaken)[0]?.status ?? '', /^(cancelled|skipped)$/);
    await eventually('the descriptors of before', async () => {
      return (await openFiles(helper.pid!)) <= before[0]! && (await openFiles(process.pid)) <= before[1]!;
    });
  });

  test(`${kind}: a program keeps its pipes without the helper`, async (t) => {
    const helper = helperOf(t);
    const { pid, input, output, ended } = await start(helper, 'read -r line; echo "got $line"; cat');
    process.kill(helper.pid!, 'SIGKILL');
    await t.throwsAsync(ended, { message: /native helper exited/ });
    t.regex(await readFile(`/proc/${String(pid)}/cmdline`, 'utf8'), /^\/bin\/sh/);
    input.end('one\ntwo');
    t.is(await text(output), 'got one\ntwo');
  });

  test(`${kind}: a detached program keeps its pipes`, async (t) => {
    const { input, output, ended } = await start(helperOf(t), 'exec cat', { detached: true });
    t.deepEqual((await ended)[0]?.exit, undefined);
    input.end('still here');
    t.is(await text(output), 'still here');
  });
}

test('a program without free descriptors is killed and reported', async (t) => {
  const script = `
    import { closeSync, openSync, readFileSync } from 'node:fs';
    import { native } from './src/host/native/helper.ts';
    import { startProgram } from './src/host/processes/start-program.ts';
    await native.request([{ do: 'stat', path: '/' }]);
    const files = [];
    try { for (;;) files.push(openSync('/dev/null')); } catch {}
    const step = { argv: ['sleep', '1000'], env: process.env, cwd: '/', pipes: { 0: 'in', 1: 'out', 2: 'out' } };
    // Room for one of the three.
    closeSync(files.pop());
    const said = await startProgram(step).then(() => 'started', (error) => error.message);
    files.push(openSync('/dev/null'));
    for (const file of files) closeSync(file);
    const children = readFileSync(\`/proc/\${native.pid}/task/\${native.pid}/children\`, 'utf8').trim();
    console.log(JSON.stringify({ said, children }));`;
  const args = ['--nofile=64', process.execPath, '--input-type=module', '--eval', script];
  const { stdout } = await execute('prlimit', args);
  const { said, children } = JSON.parse(stdout) as Record<string, string>;
  t.regex(said ?? '', /^cannot use a program's pipes: EMFILE/);
  t.is(children, '');
});

test.serial("a worker thread starts programs through its process's helper", async (t) => {
  const before = await openFiles(process.pid);
  const { port1, port2 } = new MessageChannel();
  serveThread(port1);
  const script = `
    import { parentPort, workerData } from 'node:worker_threads';
    import { text } from 'node:stream/consumers';
    import { native } from '${new URL('../../../../src/host/native/helper.ts', import.meta.url).href}';
    import { ThreadNative } from '${new URL('../../../../src/host/native/thread.ts', import.meta.url).href}';
    import { startProgram } from '${new URL('../../../../src/host/processes/start-program.ts', import.meta.url).href}';
    native.delegate(new ThreadNative(workerData.native));
    const { pid, pipes, ended } = await startProgram({
      argv: ['sh', '-c', 'echo $PPID >&2; cat; exit 3'], env: { PATH: '/usr/bin:/bin' }, cwd: '/',
      pipes: { 0: 'in', 1: 'out' }, descriptors: { 2: { kind: 'capture', limit: 100 } },
    });
    pipes[0].end('through');
    const output = await text(pipes[1]);
    const { exit, outputs } = await ended;
    const own = native.pid;
    parentPort.postMessage({ output, code: exit.code, parent: Number(outputs.get(2).bytes.toString()), own });
    // One that is still at work when the thread ends.
    const left = await startProgram({ argv: ['sleep', '1000'], env: {}, cwd: '/', pipes: { 0: 'in' } });
    parentPort.postMessage(left.pid);`;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(script)}`), {
    workerData: { native: port2 },
    transferList: [port2],
  });
  const messages: unknown[] = [];
  worker.on('message', (message: unknown) => messages.push(message));
  const failed = once(worker, 'error').then(([error]: unknown[]) => {
    throw error;
  });
  await Promise.race([eventually('both messages', () => Promise.resolve(messages.length === 2)), failed]);
  failed.catch(() => undefined);
  const { native } = await import('../../../../src/host/native/helper.ts');
  t.deepEqual(messages[0], { output: 'through', code: 3, parent: native.pid, own: undefined });
  await worker.terminate();
  await eventually('the end of what the thread had at work', async () => {
    const name = await readFile(`/proc/${String(messages[1])}/comm`, 'utf8').catch(() => '');
    return name === '';
  });
  native.close();
  await eventually('the descriptors of before', async () => (await openFiles(process.pid)) <= before);
});

function spawnStep(): SpawnStep {
  const started = (_: number, pipes: ReadonlyMap<number, number>) => {
    for (const descriptor of pipes.values()) closeSync(descriptor);
  };
  return { do: 'spawn', argv: ['sleep', '1000'], env: {}, cwd: '/', descriptors: { 0: { kind: 'pipe-in' } }, started };
}

async function openFiles(pid: number): Promise<number> {
  return (await readdir(`/proc/${String(pid)}/fd`)).length;
}
