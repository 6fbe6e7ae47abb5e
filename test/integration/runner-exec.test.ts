import { readdir } from 'node:fs/promises';
import anyTest from 'ava';
import { CriError, StatusCode } from '../../src/core/model/errors.ts';
import { eventually } from '../lib/eventually.ts';
import { IDLE, RunnerFixture, processesWith, testCgroup } from './runner-fixture.ts';

const test = testCgroup === undefined ? anyTest.serial.skip : anyTest.serial;

test("exec gives code and output, and tells its own failures from the command's", async (t) => {
  const f = await RunnerFixture.make(t);
  const id = await f.create(['sh', '-c', IDLE]);
  await t.throwsAsync(f.exec(id, 'true'), { instanceOf: CriError, code: StatusCode.FAILED_PRECONDITION });
  await f.runner.start(id);
  const both = await f.exec(id, 'echo out >/dev/stdout; echo err >/dev/stderr; exit 3');
  t.deepEqual([both.exitCode, both.stdout.toString(), both.stderr.toString()], [3, 'out\n', 'err\n']);
  t.like(await f.exec(id, 'kill -9 $$'), { exitCode: 137 });
  t.like(await f.exec(id, 'exit 255'), { exitCode: 255 }, 'the code crun has for its own failures');
  const much = await f.exec(id, 'yes | head -c 20000000; echo rest >&2', 0, 16_777_216);
  t.deepEqual([much.exitCode, much.stdout.length, much.stderr.toString()], [0, 16_777_216, 'rest\n']);
  t.is((await f.exec(id, 'cat; readlink /proc/self/fd/0')).stdout.toString(), '/dev/null\n');
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

test('An exec that takes too long is dead afterwards, and all it started with it', async (t) => {
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
