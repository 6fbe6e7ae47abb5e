import { execFile } from 'node:child_process';
import { constants, mkdtempSync, rmSync } from 'node:fs';
import { readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { NativeHelper } from '../../../../src/host/native/helper.ts';
import type { SpawnStep, Step } from '../../../../src/host/native/steps.ts';
import { eventually } from '../../../lib/eventually.ts';

const execute = promisify(execFile);
const { stdout: sanitized } = await execute('src/native/build', ['--sanitize']);

/** Each test with the shipped program, and with the sanitizers, whose reports appear on standard error. */
for (const [kind, program] of [
  ['shipped', undefined],
  ['sanitized', sanitized.trim()],
] as const) {
  const helperOf = (t: ExecutionContext) => {
    const helper = new NativeHelper(program);
    t.teardown(() => helper.close());
    return helper;
  };

  test(`${kind}: a program gets input and returns output`, async (t) => {
    const directory = directoryOf(t);
    const script = 'cat; echo "$VALUE $(pwd) $1" >&2; printf "one\\ntwo" >&5; exit 7';
    const step: SpawnStep = {
      ...sh(script, 'argument'),
      env: { PATH: process.env['PATH'], VALUE: 'x=y' },
      cwd: directory,
      descriptors: {
        0: { kind: 'input', data: 'in'.repeat(100_000) },
        1: { kind: 'capture', limit: 1000 },
        2: { kind: 'capture', limit: 1000 },
        5: { kind: 'line', limit: 1000 },
      },
    };
    const [result] = await helperOf(t).request([step]);
    t.deepEqual(result?.exit, { code: 7, signal: undefined });
    t.is(result?.status, 'done');
    t.is(result?.outputs.get(1)?.bytes.toString(), 'in'.repeat(500));
    t.is(result?.outputs.get(1)?.dropped, 199_000);
    t.is(result?.outputs.get(2)?.bytes.toString(), `x=y ${directory} argument\n`);
    t.is(result?.outputs.get(5)?.bytes.toString(), 'one\n');
  });

  test(`${kind}: a program gets a connection to a socket`, async (t) => {
    const path = join(directoryOf(t), 'socket');
    const server = createServer((socket) => socket.end('from the server'));
    t.teardown(() => server.close());
    await new Promise<void>((resolve) => server.listen({ path }, resolve));
    const step = (to: string): SpawnStep => ({
      ...sh('cat <&7'),
      descriptors: { 1: { kind: 'capture', limit: 100 }, 7: { kind: 'connect', path: to } },
    });
    const [result] = await helperOf(t).request([step(path)]);
    t.is(result?.outputs.get(1)?.bytes.toString(), 'from the server');
    for (const absent of [`${path}-absent`, `/${'x'.repeat(200)}`])
      t.regex((await helperOf(t).request([step(absent)]))[0]?.problem ?? '', /connect/);
  });

  test(`${kind}: a missing program is named in the error`, async (t) => {
    const helper = helperOf(t);
    const step = { ...sh(''), argv: ['no-such-program'] };
    const [absent] = await helper.request([step]);
    t.is(absent?.status, 'failed');
    t.is(absent?.code, 'ENOENT');
    t.regex(absent?.problem ?? '', /no-such-program: No such file/);
    const [directory] = await helper.request([{ ...sh(''), cwd: '/nonexistent' }]);
    t.is(directory?.code, 'ENOENT');
    t.regex(directory?.problem ?? '', /chdir \/nonexistent/);
  });

  test(`${kind}: sequential steps stop at the first failure`, async (t) => {
    const directory = directoryOf(t);
    const file = join(directory, 'file');
    const steps: Step[] = [
      { do: 'mkdirs', path: join(directory, 'a/b'), mode: 0o700 },
      { do: 'write', path: file, data: 'words' },
      { do: 'write', path: join(directory, 'absent/file'), data: '' },
      { do: 'mkfifo', paths: [join(directory, 'fifo')], mode: 0o640 },
    ];
    const results = await helperOf(t).request(steps);
    t.deepEqual(
      results.map(({ status }) => status),
      ['done', 'done', 'failed', 'skipped'],
    );
    t.is(results[2]?.code, 'ENOENT');
    t.is(await readFile(file, 'utf8'), 'words');
    t.true((await stat(join(directory, 'a/b'))).isDirectory());
    await t.throwsAsync(stat(join(directory, 'fifo')));
  });

  test(`${kind}: parallel steps all run, each with its result`, async (t) => {
    const directory = directoryOf(t);
    const fifos = [join(directory, 'a'), join(directory, 'b')];
    const helper = helperOf(t);
    await helper.request([{ do: 'mkfifo', paths: fifos, mode: 0o600 }]);
    // Each opens a FIFO that only the other one opens as well: in sequence, the first would wait forever.
    const steps = [sh('echo 1 >a; cat b'), { ...sh(''), argv: ['false'] }, sh('cat a; echo 2 >b')].map((step) => ({
      ...step,
      cwd: directory,
    }));
    const results = await helper.request(steps, { sideBySide: true });
    t.deepEqual(
      results.map(({ exit, outputs }) => [exit?.code, outputs.get(1)?.bytes.toString()]),
      [
        [0, '2\n'],
        [1, ''],
        [0, '1\n'],
      ],
    );
  });

  test(`${kind}: a timeout kills the program's process group`, async (t) => {
    const helper = helperOf(t);
    let pid = '';
    // Until the timeout is long enough for the program to print its child.
    for (let limitMs = 300; pid === ''; limitMs *= 2) {
      const [result] = await helper.request([{ ...sh('sleep 1000 & echo $!; wait'), limitMs }]);
      t.is(result?.status, 'timeout');
      t.is(result?.exit?.signal, 'SIGKILL');
      pid = result?.outputs.get(1)?.bytes.toString().trim() ?? '';
    }
    await eventually('the end of its child', async () => (await stateOf(pid)) === undefined);
  });

  test(`${kind}: a cancelled request starts no more steps`, async (t) => {
    const directory = directoryOf(t);
    const controller = new AbortController();
    const started = () => controller.abort(new Error('enough'));
    const steps: Step[] = [
      { ...sh('sleep 1000'), started },
      { do: 'write', path: join(directory, 'file'), data: '' },
    ];
    const results = await helperOf(t).request(steps, { signal: controller.signal });
    t.deepEqual(
      results.map(({ status }) => status),
      ['cancelled', 'skipped'],
    );
    t.deepEqual(await readdir(directory), []);
  });

  test(`${kind}: a daemon does not delay its parent's result`, async (t) => {
    const [result] = await helperOf(t).request([{ ...sh('sleep 1000 & echo $!'), drainMs: 10 }]);
    t.is(result?.exit?.code, 0);
    const pid = Number(result?.outputs.get(1)?.bytes.toString());
    t.teardown(() => process.kill(pid, 'SIGKILL'));
    t.not(await stateOf(String(pid)), undefined);
  });

  test(`${kind}: no output is lost to a busy helper`, async (t) => {
    // More than a pipe holds. Each writes the rest and ends while the others' output is read.
    const argv = ['head', '-c', '100000', '/dev/zero'];
    const step: SpawnStep = { ...sh(''), argv, descriptors: { 1: { kind: 'capture', limit: 200_000 } }, drainMs: 0 };
    const results = await helperOf(t).request(
      Array.from({ length: 200 }, () => step),
      { sideBySide: true },
    );
    const sizes = results.map(({ outputs }) => outputs.get(1)?.bytes.length);
    t.deepEqual(sizes, Array<number>(200).fill(100_000));
  });

  test(`${kind}: a detached program reports its start or failure`, async (t) => {
    let pid = 0;
    const started = (started: number) => (pid = started);
    const sleeper: SpawnStep = { ...sh(''), argv: ['sleep', '1000'], descriptors: {}, detached: true, started };
    const helper = helperOf(t);
    const [begun, absent] = await helper.request([
      sleeper,
      { ...sleeper, argv: ['no-such-program'], started: () => {} },
    ]);
    t.teardown(() => process.kill(pid, 'SIGKILL'));
    t.deepEqual([begun?.status, begun?.exit], ['done', undefined]);
    t.deepEqual([absent?.status, absent?.code], ['failed', 'ENOENT']);
    t.is(await readFile(`/proc/${String(pid)}/cmdline`, 'utf8'), 'sleep\x001000\0');
    helper.close();
    t.not(await stateOf(String(pid)), undefined);
  });

  test(`${kind}: a line is awaited after its program ended`, async (t) => {
    const step: SpawnStep = {
      ...sh('(read -r word <fifo; echo "{$word}" >&3; sleep 1000) & echo $! >pid; echo ready >ready'),
      cwd: directoryOf(t),
      descriptors: { 3: { kind: 'line', limit: 100 } },
    };
    const helper = helperOf(t);
    await helper.request([{ do: 'mkfifo', paths: [join(step.cwd, 'fifo'), join(step.cwd, 'ready')], mode: 0o600 }]);
    const request = helper.request([step]);
    await readFile(join(step.cwd, 'ready'));
    await writeFile(join(step.cwd, 'fifo'), 'word\n');
    const [result] = await request;
    t.is(result?.outputs.get(3)?.bytes.toString(), '{word}\n');
    const pid = Number(await readFile(join(step.cwd, 'pid'), 'utf8'));
    t.teardown(() => process.kill(pid, 'SIGKILL'));
  });

  test(`${kind}: paths are resolved and reads limited`, async (t) => {
    const directory = directoryOf(t);
    await writeFile(join(directory, 'file'), 'four');
    const helper = helperOf(t);
    const steps: Step[] = [
      { do: 'stat', path: '/proc/self/root/dev/null' },
      { do: 'read', path: join(directory, 'file'), limit: 4 },
      { do: 'read', path: join(directory, 'file'), limit: 3 },
      { do: 'read', path: '/dev/zero', limit: 3 },
      { do: 'stat', path: join(directory, 'absent') },
    ];
    const results = await helper.request(steps, { sideBySide: true });
    t.regex(results[0]?.outputs.get(1)?.bytes.toString() ?? '', /^\d+ \d+ \d+ 259 0 \d+ \d+ \d+\n\/dev\/null$/);
    t.is(results[1]?.outputs.get(1)?.bytes.toString(), 'four');
    t.deepEqual(
      results.slice(2).map(({ code }) => code),
      ['EFBIG', 'EINVAL', 'ENOENT'],
    );
  });

  test(`${kind}: a hanging step times out alone`, async (t) => {
    const directory = directoryOf(t);
    const helper = helperOf(t);
    const fifo = join(directory, 'fifo');
    await helper.request([{ do: 'mkfifo', paths: [fifo], mode: 0o600 }]);
    // Opening a FIFO waits for a reader, like a dead mount.
    const hanging = helper.request([{ do: 'write', path: fifo, data: 'x', flags: constants.O_WRONLY, limitMs: 500 }]);
    const [other] = await helper.request([{ do: 'stat', path: directory }]);
    t.is(other?.status, 'done');
    t.is((await hanging)[0]?.status, 'timeout');
  });

  test(`${kind}: running commands keep a FIFO open`, async (t) => {
    const directory = directoryOf(t);
    const helper = helperOf(t);
    const fifo = join(directory, 'hold');
    await helper.request([{ do: 'mkfifo', paths: [fifo], mode: 0o600 }]);
    await helper.hold(fifo);
    const step = {
      ...sh('readlink /proc/self/fd/3'),
      descriptors: { 1: { kind: 'capture', limit: 100 }, 3: { kind: 'hold' } },
    } as const;
    const [result] = await helper.request([step]);
    t.is(result?.outputs.get(1)?.bytes.toString(), `${fifo}\n`);
    await t.throwsAsync(helper.hold(join(directory, 'absent')), { message: /cannot hold .*absent: No such file/ });
  });

  test(`${kind}: a command inherits no descriptors or signal settings`, async (t) => {
    const [files, signals] = await helperOf(t).request([
      { ...sh(''), argv: ['ls', '/proc/self/fd'] },
      { ...sh(''), argv: ['grep', '-E', '^Sig(Blk|Ign)', '/proc/self/status'] },
    ]);
    // The last one is the directory that ls reads.
    t.is(files?.outputs.get(1)?.bytes.toString(), '0\n1\n2\n3\n');
    t.is(signals?.outputs.get(1)?.bytes.toString(), 'SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n');
  });

  test(`${kind}: malformed requests are refused, later ones served`, async (t) => {
    const helper = helperOf(t);
    const [plan] = await helper.request([{ ...sh(''), descriptors: { 99: { kind: 'null' } } }]);
    t.is(plan?.code, 'EPROTO');
    const [nul] = await helper.request([{ do: 'stat', path: 'a\0b' }]);
    t.is(nul?.code, 'EPROTO');
    const [whole] = await helper.request(Array.from({ length: 257 }, () => ({ do: 'stat', path: '/' }) as const));
    t.is(whole?.code, 'EPROTO');
    t.is((await helper.request([{ do: 'stat', path: '/' }]))[0]?.status, 'done');
  });

  test(`${kind}: a killed helper repeats only safe requests`, async (t) => {
    const helper = helperOf(t);
    const directory = directoryOf(t);
    const fifo = join(directory, 'fifo');
    await helper.request([{ do: 'mkfifo', paths: [fifo], mode: 0o600 }]);
    const first = helper.pid;
    let pid = 0;
    const kill = () => process.kill(first!, 'SIGKILL');
    const repeated = helper.request([{ do: 'write', path: fifo, data: 'again' }]);
    const spawned = helper.request([
      {
        ...sh('exec sleep 1000'),
        started: (started) => {
          pid = started;
          kill();
        },
      },
    ]);
    await t.throwsAsync(spawned, { message: /native helper exited/, code: 14 as never });
    t.teardown(() => process.kill(pid, 'SIGKILL'));
    t.not(await stateOf(String(pid)), undefined);
    t.is(await readFile(fifo, 'utf8'), 'again');
    t.is((await repeated)[0]?.status, 'done');
    t.not(helper.pid, first);
  });

  test(`${kind}: thousands of commands leave no descriptor or zombie`, async (t) => {
    const helper = helperOf(t);
    const total = program === undefined ? 2000 : 500;
    const batch = 100;
    await helper.request([sh('')]);
    const before = await openFiles(helper.pid!);
    for (let done = 0; done < total; done += batch) {
      const results = await helper.request(
        Array.from({ length: batch }, () => ({ ...sh(''), argv: ['true'] })),
        { sideBySide: done % 200 === 0 },
      );
      if (!results.every(({ exit }) => exit?.code === 0)) t.fail('a command did not run');
    }
    t.is(await openFiles(helper.pid!), before);
    t.is((await readFile(`/proc/${helper.pid!}/task/${helper.pid!}/children`, 'utf8')).trim(), '');
  });
}

test('a missing native helper is explained with its remedy', async (t) => {
  const helper = new NativeHelper('/nonexistent/lxcri-native');
  await t.throwsAsync(helper.request([sh('')]), { message: /native helper/, code: 14 as never });
});

function sh(script: string, ...args: string[]): SpawnStep {
  return {
    do: 'spawn',
    argv: ['/bin/sh', '-c', script, 'sh', ...args],
    env: { PATH: process.env['PATH'] },
    cwd: '/',
    descriptors: { 1: { kind: 'capture', limit: 10_000 } },
  };
}

function directoryOf(t: ExecutionContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'native-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  return directory;
}

/** `R`, `S`…; undefined for a zombie or a missing process. */
async function stateOf(pid: string): Promise<string | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const state = /\) (\w)/.exec(text)?.[1];
  return state === 'Z' || state === 'X' ? undefined : state;
}

async function openFiles(pid: number): Promise<number> {
  return (await readdir(`/proc/${pid}/fd`)).length;
}
