import test from 'ava';
import { WritableUsage } from '../../../../../src/core/lifecycle/containers/writable-usage.ts';
import type { Usage } from '../../../../../src/core/model/rootfs.ts';

const SECOND = 1_000_000_000n;

function setUp() {
  const state = { now: 100n * SECOND, took: 0n, calls: 0, running: 0, most: 0, fails: false };
  const measure = async (id: string): Promise<Usage | undefined> => {
    state.calls += 1;
    state.most = Math.max(state.most, (state.running += 1));
    await Promise.resolve();
    state.running -= 1;
    state.now += state.took;
    if (state.fails) throw new Error('cannot count');
    return id === 'none' ? undefined : { bytes: BigInt(state.calls) * 10n, inodes: 1n };
  };
  const clock = { now: () => state.now, sleep: () => Promise.resolve() };
  return { state, usage: new WritableUsage(measure, clock) };
}

test('what was counted holds for ten seconds, also for those who ask while it is counted', async (t) => {
  const { state, usage } = setUp();
  const first = { bytes: 10n, inodes: 1n, at: 100n * SECOND };
  t.deepEqual(await Promise.all([usage.of('a'), usage.of('a')]), [first, first]);
  state.now += 10n * SECOND - 1n;
  t.deepEqual(await usage.of('a'), first);
  state.now += 1n;
  t.deepEqual(await usage.of('a'), { bytes: 20n, inodes: 1n, at: 110n * SECOND });
  usage.forget('a');
  t.is((await usage.of('a'))?.bytes, 30n);
});

test('what takes long to count is counted less often', async (t) => {
  const { state, usage } = setUp();
  state.took = 3n * SECOND;
  await usage.of('a');
  state.now += 60n * SECOND - 1n;
  t.is((await usage.of('a'))?.bytes, 10n);
  state.now += 1n;
  t.is((await usage.of('a'))?.bytes, 20n);
});

test('several are counted one after the other and added up; a failure is not remembered', async (t) => {
  const { state, usage } = setUp();
  state.took = 1n;
  t.deepEqual(await usage.total(['a', 'b', 'none']), { bytes: 30n, inodes: 2n, at: 100n * SECOND });
  t.is(state.most, 1);
  t.deepEqual(await usage.total([]), { bytes: 0n, inodes: 0n, at: state.now });
  state.fails = true;
  await t.throwsAsync(usage.of('c'), { message: 'cannot count' });
  state.fails = false;
  t.is((await usage.of('c'))?.inodes, 1n);
});
