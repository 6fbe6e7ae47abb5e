import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import anyTest from 'ava';
import { CriError, StatusCode } from '../../src/core/model/errors.ts';
import { run } from '../../src/host/processes/run.ts';
import { HANG_MS, eventually } from '../lib/eventually.ts';
import { IDLE, RunnerFixture, processesWith, testCgroup } from './runner-fixture.ts';

const test = testCgroup === undefined ? anyTest.serial.skip : anyTest.serial;

test("exec distinguishes its own failures from the command's", async (t) => {
  const f = await RunnerFixture.make(t);
  const id = await f.create(['sh', '-c', IDLE]);
  await t.throwsAsync(f.exec(id, 'true'), { instanceOf: CriError, code: StatusCode.FAILED_PRECONDITION });
  await f.runner.start(id);
  const both = await f.exec(id, 'echo out >/dev/stdout; echo err >/dev/stderr; exit 3');
  t.deepEqual([both.exitCode, both.stdout.toString(), both.stderr.toString()], [3, 'out\n', 'err\n']);
  t.like(await f.exec(id, 'kill -9 $$'), { exitCode: 137 });
  t.like(await f.exec(id, 'exit 255'), { exitCode: 255 }, 'the code crun has for its own failures');
  const much = await f.exec(id, 'yes | head -c 20000000; echo rest >&2', 0, 16_777_216);
  t.deepEqual([much.exitCode, much.stdout.length, much.stderr.toString()], [0, 16_777_216 - 5, 'rest\n']);
  t.is((await f.exec(id, 'cat; cat /dev/stdin; echo read')).stdout.toString(), 'read\n', 'no input');
  for (const args of [['nosuch'], ['/proc']]) {
    const failed = f.runner.exec(id, f.process(...args), { timeoutMs: 0, maxOutputBytes: 100 });
    await t.throwsAsync(failed, { instanceOf: CriError, code: StatusCode.UNKNOWN }, args.join(' '));
  }
  const lost = f.runner.exec(id, { ...f.process('true'), cwd: '/nowhere' }, { timeoutMs: 0, maxOutputBytes: 100 });
  await t.throwsAsync(lost, { message: /nowhere/ });
  const held = await f.exec(id, 'usleep 100000000 & echo done');
  t.is(held.stdout.toString(), 'done\n', 'a background process holds the output open, yet exec returns');
  t.deepEqual(
    (await readdir(f.bundle(id))).filter((name) => name.startsWith('exec-')),
    [],
  );
  await f.runner.killAll(id);
  await t.throwsAsync(f.exec(id, 'true'), { instanceOf: CriError, code: StatusCode.FAILED_PRECONDITION });
});

test('A timed-out exec is killed with all its descendants', async (t) => {
  const f = await RunnerFixture.make(t);
  const id = await f.shell(IDLE);
  const script = 'sleep 98765 & setsid sleep 98765 & (sleep 98765 & sleep 98765); sleep 98765';
  await t.throwsAsync(f.exec(id, script, 300), { instanceOf: CriError, code: StatusCode.DEADLINE_EXCEEDED });
  const left = async () => (await processesWith('sleep\x0098765')).length;
  await eventually('the end of all sleeps', async () => (await left()) === 0);
  const abort = new AbortController();
  const options = { timeoutMs: 0, maxOutputBytes: 100, signal: abort.signal };
  const given = t.throwsAsync(f.runner.exec(id, f.process('sleep', '98765'), options), {
    instanceOf: CriError,
    code: StatusCode.CANCELLED,
  });
  await eventually('the sleep', async () => (await left()) > 0);
  abort.abort();
  await given;
  await t.throwsAsync(f.runner.exec(id, f.process('true'), options), { code: StatusCode.CANCELLED });
  await eventually('the end of the sleep', async () => (await left()) === 0);
  t.is((await f.runner.inspect(id)).status, 'running');
});

for (const types of [['pid', 'mount'], ['mount']] as const) {
  test(`exec leaves background processes running: ${types.join(' ')}`, async (t) => {
    const f = await RunnerFixture.make(t);
    const id = await f.shell(IDLE, {
      change: (spec) => (spec.linux.namespaces = types.map((type) => ({ type }))),
    });
    const running = async () => (await processesWith('4321')).filter((line) => line.startsWith('sleep')).length;
    const ended = await f.exec(id, 'sleep 4321 >/dev/null 2>&1 </dev/null & exit 3', HANG_MS);
    t.is(ended.exitCode, 3);
    // A background process is still a shell for a moment.
    await eventually('the first sleep', async () => (await running()) === 1);
    const output = new PassThrough();
    const io = { stdin: undefined, stdout: output, stderr: undefined, resizes: undefined };
    const { signal } = new AbortController();
    for (const terminal of [false, true]) {
      // A terminal hangs up processes of its session when the command ends.
      const daemon = `setsid sh -c 'echo >/tmp/up; exec sleep 4321' >/dev/null 2>&1 </dev/null`;
      const script = `rm -f /tmp/up; ${daemon} & while ! [ -e /tmp/up ]; do usleep 10000; done; exit 4`;
      const process = { ...f.process('sh', '-c', script), terminal };
      t.is(await f.runner.execStream(id, process, io, signal), 4);
    }
    await eventually('all three', async () => (await running()) === 3);
    t.is((await f.runner.inspect(id)).status, 'running');
    await f.runner.killAll(id);
    t.is(await running(), 0);
  });
}

test("No container process uses the node's null device", async (t) => {
  const f = await RunnerFixture.make(t);
  // A private one, so that the machine's is not affected.
  const device = join(f.directory, 'null');
  await run('mknod', ['-m', '666', device, 'c', '1', '3']);
  await run('mount', ['--bind', device, '/dev/null']);
  t.teardown(() => run('umount', ['-l', '/dev/null']));
  const user = { uid: 4711, gid: 4711 };
  const script = 'chmod 600 /proc/self/fd/0; chmod 600 /dev/stdin; echo x >/proc/self/fd/0; [ -t 0 ] || cat; echo done';
  const id = await f.run(['sh', '-c', `{ ${script}; } 2>/dev/stderr; ${IDLE}`], {
    change: (spec) => (spec.process.user = user),
  });
  await eventually('the script', async () => (await f.logLines(id)).find(({ tag }) => tag === 'F'));
  const io = { stdin: undefined, stdout: new PassThrough(), stderr: undefined, resizes: undefined };
  for (const terminal of [false, true]) {
    const process = { ...f.process('sh', '-c', script), user, terminal };
    await f.runner.execStream(id, process, io, new AbortController().signal);
  }
  const process = { ...f.process('sh', '-c', script), user };
  const { stdout } = await f.runner.exec(id, process, { timeoutMs: HANG_MS, maxOutputBytes: 1000 });
  t.is(stdout.toString(), 'done\n');
  const { uid, gid, mode } = await stat('/dev/null');
  t.deepEqual([uid, gid, mode & 0o7777], [0, 0, 0o666]);
});
