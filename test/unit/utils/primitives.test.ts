import test from 'ava';
import fc from 'fast-check';
import { mkdtemp, readFile, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeFileAtomic } from '../../../src/utils/fs/atomic.ts';
import { fromJson, toJson } from '../../../src/utils/json.ts';
import { withinLimit } from '../../../src/utils/async/abortable.ts';
import { gatheredRead } from '../../../src/utils/async/gathered-read.ts';
import { KeyedLock } from '../../../src/utils/async/keyed-lock.ts';
import { readTogether } from '../../../src/utils/async/read-together.ts';
import { CommandError, run } from '../../../src/host/processes/run.ts';
import { Rollback } from '../../../src/utils/async/rollback.ts';

test('JSON keeps integers beyond 2^53 and bytes', (t) => {
  const scalar = fc.oneof(
    fc.bigInt(),
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    fc.string(),
    fc.integer(),
    fc.boolean(),
  );
  const record = fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.oneof(scalar, fc.array(scalar)));
  fc.assert(
    fc.property(record, (value) => {
      t.deepEqual(fromJson(toJson(value)), { ...value });
    }),
    { numRuns: 500 },
  );
});

test('an object like a tagged value survives JSON', (t) => {
  for (const value of [{ $bigint: 'twelve' }, { $bytes: 1 }, { $bigint: '1', other: '2' }]) {
    t.deepEqual(fromJson(toJson(value)), value);
  }
});

test('a lock runs tasks of one key in order', async (t) => {
  const lock = new KeyedLock();
  const order: string[] = [];
  const gate = Promise.withResolvers<undefined>();
  const first = lock.run('a', async () => {
    await gate.promise;
    order.push('a1');
    throw new Error('task failed');
  });
  const second = lock.run('a', () => Promise.resolve(order.push('a2')));
  const other = lock.run('b', () => Promise.resolve(order.push('b1')));
  await other;
  gate.resolve(undefined);
  await t.throwsAsync(first, { message: 'task failed' });
  await second;
  t.deepEqual(order, ['b1', 'a1', 'a2']);
});

test('reads of the same moment are one', async (t) => {
  const calls: string[][] = [];
  const read = gatheredRead((keys) => {
    calls.push(keys);
    if (keys.includes('fails')) return Promise.reject(new Error('cannot be read'));
    return Promise.resolve(new Map(keys.filter((key) => key !== 'none').map((key) => [key, `${key}!`])));
  }, 3);
  t.deepEqual(await Promise.all(['a', 'a', 'none', 'b', 'c'].map(read)), ['a!', 'a!', undefined, 'b!', 'c!']);
  t.is(await read('a'), 'a!');
  t.deepEqual(calls, [['a', 'none', 'b'], ['c'], ['a']]);
  const failed = await Promise.allSettled([read('a'), read('fails')]);
  t.deepEqual(
    failed.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
});

test('a rollback continues in reverse order after a failure', async (t) => {
  const done: string[] = [];
  const rollback = new Rollback();
  rollback.add('first', () => Promise.resolve(done.push('first')));
  rollback.add('broken', () => Promise.reject(new Error('stuck')));
  rollback.add('last', () => Promise.resolve(done.push('last')));
  const failures: string[] = [];
  await rollback.run((what, error) => failures.push(`${what}: ${String(error)}`));
  t.deepEqual(done, ['last', 'first']);
  t.deepEqual(failures, ['broken: Error: stuck']);
});

test('a file is written atomically with mode 0600', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'atomic-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const path = join(directory, 'file');
  await writeFileAtomic(path, 'one');
  await writeFileAtomic(path, 'two');
  t.is(await readFile(path, 'utf8'), 'two');
  t.is((await stat(path)).mode & 0o777, 0o600);
  await t.throwsAsync(writeFileAtomic(join(directory, 'missing', 'file'), 'x'), { code: 'ENOENT' });
  t.deepEqual(await readdir(directory), ['file']);
});

test('a command gets exact arguments; its error omits them', async (t) => {
  const hostile = ['-n', 'a b', "it's", '$(id)', 'line\nbreak', ''];
  const { stdout } = await run('printf', ['%s|', ...hostile]);
  t.is(stdout, hostile.map((word) => `${word}|`).join(''));
  const error = await t.throwsAsync(run('sh', ['-c', 'echo bad luck >&2; exit 7', 'secret-argument']), {
    instanceOf: CommandError,
  });
  t.is(error.exitCode, 7);
  t.true(error.message.includes('bad luck') && !error.message.includes('secret-argument'));
  const missing = await t.throwsAsync(run('/no/such/program', []), { instanceOf: CommandError, message: /cannot run/ });
  t.is(missing?.exitCode, undefined);
});

test("a background process does not delay its command's result", async (t) => {
  const { stdout } = await run('sh', ['-c', 'sleep 100000 & echo $!']);
  const pid = Number(stdout.trim());
  t.notThrows(() => process.kill(pid, 'SIGKILL'), 'it still ran');
});

test('work that ignores its limit is left to itself', async (t) => {
  const limit = { limitMs: 1, graceMs: 1, over: () => new Error('over') };
  t.is(await withinLimit({ ...limit, limitMs: 60_000 }, () => Promise.resolve('done')), 'done');
  await t.throwsAsync(
    withinLimit(limit, () => new Promise(() => undefined)),
    { message: 'over' },
  );
  const obedient = (signal: AbortSignal) =>
    new Promise((_, reject) => {
      signal.addEventListener('abort', () => {
        reject(new Error('killed'));
      });
    });
  await t.throwsAsync(withinLimit(limit, obedient), { message: 'over' });
  await t.throwsAsync(
    withinLimit({ ...limit, limitMs: 60_000 }, () => Promise.reject(new Error('failed'))),
    { message: 'failed' },
  );
});

test('readers of one source get all of it at the same pace', async (t) => {
  const given: number[] = [];
  let isEnded = false;
  const source = async function* () {
    try {
      for (let value = 0; ; value += 1) {
        given.push(value);
        yield await Promise.resolve(value);
      }
    } finally {
      isEnded = true;
    }
  };
  const { read, close } = readTogether(source(), 2);
  const [first, second] = [read(), read()];
  const ahead = first.next();
  t.deepEqual([(await second.next()).value, (await ahead).value], [0, 0]);
  t.deepEqual(given, [0]);
  // The other has failed.
  const waiting = first.next();
  close(new Error('failed'));
  await t.throwsAsync(waiting, { message: 'failed' });
  await new Promise(setImmediate);
  t.deepEqual([given, isEnded], [[0], true]);
});
