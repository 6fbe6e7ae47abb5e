import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import test from 'ava';
import fc from 'fast-check';
import '../../../lib/native.ts';
import { Capture, execSync, fit } from '../../../../src/backends/conmon/exec/exec-sync.ts';
import { runExec } from '../../../../src/backends/conmon/exec/exec.ts';
import { RelayLimit } from '../../../../src/backends/conmon/streams/relay-limit.ts';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';

const PROCESS = {
  terminal: false,
  user: { uid: 0, gid: 0 },
  args: ['true'],
  env: [],
  cwd: '/',
  noNewPrivileges: true,
};

for (const score of [undefined, 0, 500]) {
  test(`a missing runtime is an error: score ${String(score)}`, async (t) => {
    const directory = await mkdtemp(join(tmpdir(), 'exec-'));
    t.teardown(() => rm(directory, { recursive: true, force: true }));
    const process = { ...PROCESS, ...(score !== undefined && { oomScoreAdj: score }) };
    const paths = { runtime: '/no/such/crun', runtimeRoot: directory, directory, monitors: undefined };
    const target = { ...paths, id: 'c', process, drainMs: 100, follow: true };
    const refusal = { instanceOf: CriError, code: StatusCode.UNKNOWN, message: /\/no\/such\/crun/ } as object;
    await t.throwsAsync(execSync(target, { timeoutMs: 0, maxOutputBytes: 100 }), refusal);
    const io = { stdin: undefined, stdout: new PassThrough(), stderr: undefined, resizes: undefined };
    const { signal } = new AbortController();
    await t.throwsAsync(runExec({ ...target, io, signal }), refusal);
    await t.throwsAsync(runExec({ ...target, process: { ...process, terminal: true }, io, signal }), refusal);
    t.deepEqual(await readdir(directory), []);
  });
}

test('Both output streams share one limit', (t) => {
  const sizes = (stdout: number, stderr: number, limit: number) =>
    fit(Buffer.alloc(stdout), Buffer.alloc(stderr), limit).map(({ length }) => length);
  t.deepEqual(sizes(20, 3, 10), [7, 3]);
  t.deepEqual(sizes(3, 20, 10), [3, 7]);
  t.deepEqual(sizes(20, 20, 10), [5, 5]);
  t.deepEqual(sizes(4, 6, 10), [4, 6]);
  const size = fc.nat({ max: 50 });
  fc.assert(
    fc.property(size, size, size, (stdout, stderr, limit) => {
      const kept = sizes(stdout, stderr, limit);
      return (kept[0] ?? 0) + (kept[1] ?? 0) === Math.min(stdout + stderr, limit);
    }),
  );
});

test('Relays are limited per pod', async (t) => {
  const limit = new RelayLimit(2);
  const ends: (() => void)[] = [];
  const relay = (pod: string) => limit.run(pod, () => new Promise<void>((resolve) => ends.push(resolve)));
  const first = [relay('a'), relay('a'), relay('b')];
  await t.throwsAsync(relay('a'), { instanceOf: CriError, code: StatusCode.RESOURCE_EXHAUSTED, message: /close some/ });
  ends[0]?.();
  await first[0];
  const next = relay('a');
  for (const end of ends) end();
  await Promise.all([...first, next]);
  await t.throwsAsync(
    limit.run('a', () => Promise.reject(new Error('x'))),
    { message: 'x' },
  );
  t.is(await limit.run('a', () => Promise.resolve(1)), 1);
});

test('output in single bytes takes no more memory', async (t) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const capture = new Capture(1_000_000);
  const used = () => {
    collect();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const before = used();
  for (let count = 0; count < 300_000; count++) capture.write(Buffer.allocUnsafeSlow(1).fill(count));
  t.true(used() - before < 3_000_000, `${String(used() - before)} bytes`);
  capture.write(Buffer.alloc(800_000, 7));
  const content = capture.content();
  t.is(content.length, 1_000_000);
  t.deepEqual(content.subarray(299_990, 300_002), Buffer.of(214, 215, 216, 217, 218, 219, 220, 221, 222, 223, 7, 7));
});
