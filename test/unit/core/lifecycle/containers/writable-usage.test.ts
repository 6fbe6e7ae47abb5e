import test from 'ava';
import { WritableUsage } from '../../../../../src/core/lifecycle/containers/writable-usage.ts';
import type { Usage } from '../../../../../src/core/model/rootfs.ts';

const SECOND = 1_000_000_000n;

function setUp() {
  const state = {
    now: 100n * SECOND,
    wasSet: 0n,
    took: 0n,
    calls: [] as string[],
    running: 0,
    most: 0,
    fails: false,
    inodes: 1n,
    errors: [] as string[],
    gate: Promise.resolve() as Promise<unknown>,
    patience: new Promise<void>(() => undefined),
  };
  const measure = async (id: string): Promise<Usage | undefined> => {
    const bytes = BigInt(state.calls.push(id)) * 10n;
    state.most = Math.max(state.most, (state.running += 1));
    await state.gate;
    state.running -= 1;
    state.now += state.took;
    if (state.fails) throw new Error('cannot count');
    return id === 'none' ? undefined : { bytes, inodes: state.inodes };
  };
  const clock = { now: () => state.now + state.wasSet, monotonic: () => state.now, sleep: () => state.patience };
  const usage = new WritableUsage({ measure, clock, onError: (id) => state.errors.push(id) });
  return { state, usage };
}

test('the first figures are awaited, also by concurrent callers', async (t) => {
  const { state, usage } = setUp();
  const first = { bytes: 10n, inodes: 1n, at: 100n * SECOND };
  t.deepEqual(await Promise.all([usage.of('a'), usage.of('a')]), [first, first]);
  t.deepEqual(state.calls, ['a']);
  usage.forget('a');
  t.is((await usage.of('a'))?.bytes, 20n);
});

test('a slow first count holds up no caller', async (t) => {
  const { state, usage } = setUp();
  const gate = Promise.withResolvers<undefined>();
  state.gate = gate.promise;
  state.patience = Promise.resolve();
  t.is(await usage.of('a'), undefined);
  t.deepEqual(await usage.total(['a', 'b']), { bytes: 0n, inodes: 0n, at: 100n * SECOND });
  gate.resolve(undefined);
  state.patience = new Promise(() => undefined);
  t.is((await usage.of('a'))?.bytes, 10n);
  t.is((await usage.total(['a', 'b'])).bytes, 30n);
  t.deepEqual(state.calls, ['a', 'b']);
});

test('a total does not wait for new containers', async (t) => {
  const { state, usage } = setUp();
  t.is((await usage.total(['a', 'b'])).bytes, 30n);
  const gate = Promise.withResolvers<undefined>();
  state.gate = gate.promise;
  t.is((await usage.total(['a', 'b', 'c'])).bytes, 30n);
  gate.resolve(undefined);
  t.is((await usage.of('c'))?.bytes, 30n);
  t.is((await usage.total(['a', 'b', 'c'])).bytes, 60n);
  t.deepEqual(state.calls, ['a', 'b', 'c']);
});

test('figures expire after ten seconds and refresh in background', async (t) => {
  const { state, usage } = setUp();
  await usage.of('a');
  state.now += 10n * SECOND - 1n;
  t.is((await usage.of('a'))?.bytes, 10n);
  await usage.settled();
  t.is(state.calls.length, 1);
  state.now += 1n;
  const gate = Promise.withResolvers<undefined>();
  state.gate = gate.promise;
  t.is((await usage.of('a'))?.bytes, 10n);
  t.deepEqual(await usage.total(['a']), { bytes: 10n, inodes: 1n, at: 100n * SECOND });
  gate.resolve(undefined);
  await usage.settled();
  t.deepEqual(await usage.of('a'), { bytes: 20n, inodes: 1n, at: 110n * SECOND });
  t.is(state.calls.length, 2);
});

test('a clock set forward amid a count delays no other', async (t) => {
  const { state, usage } = setUp();
  const gate = Promise.withResolvers<undefined>();
  state.gate = gate.promise;
  const first = usage.of('a');
  state.wasSet = 3600n * SECOND;
  gate.resolve(undefined);
  await first;
  state.now += 10n * SECOND;
  await usage.of('a');
  await usage.settled();
  t.is(state.calls.length, 2);
});

test('slow counts are repeated less often', async (t) => {
  const { state, usage } = setUp();
  state.took = 3n * SECOND;
  await usage.of('a');
  state.now += 60n * SECOND - 1n;
  await usage.of('a');
  await usage.settled();
  t.is(state.calls.length, 1);
  state.now += 1n;
  await usage.of('a');
  await usage.settled();
  t.is((await usage.of('a'))?.bytes, 20n);
});

test('small containers are counted together, large ones in turn', async (t) => {
  const { state, usage } = setUp();
  await usage.total(['a', 'b', 'c']);
  state.most = 0;
  state.now += 20n * SECOND;
  await usage.of('a');
  await usage.settled();
  t.is(state.most, 3);
  state.inodes = 100_000n;
  state.now += 20n * SECOND;
  await usage.of('a');
  await usage.settled();
  state.most = 0;
  state.now += 20n * SECOND;
  await usage.of('a');
  await usage.settled();
  t.is(state.most, 1);
  t.is(state.calls.length, 12);
});

test('a failed count is logged and keeps earlier figures', async (t) => {
  const { state, usage } = setUp();
  t.deepEqual(await usage.total(['a', 'none']), { bytes: 10n, inodes: 1n, at: 100n * SECOND });
  t.deepEqual(await usage.total([]), { bytes: 0n, inodes: 0n, at: state.now });
  state.fails = true;
  await t.throwsAsync(usage.of('c'), { message: 'cannot count' });
  t.is((await usage.total(['a', 'c'])).bytes, 10n);
  await usage.settled();
  state.now += 20n * SECOND;
  t.is((await usage.of('a'))?.bytes, 10n);
  await usage.settled();
  t.deepEqual(state.errors, ['c', 'a']);
  state.fails = false;
  t.is((await usage.of('c'))?.inodes, 1n);
});
