import test from 'ava';
import { expiredCheckpoints } from '../../../../../src/core/lifecycle/containers/checkpoint-retention.ts';
import type { RootfsSnapshot } from '../../../../../src/core/model/rootfs-snapshots.ts';

const DAY = 86_400_000_000_000n;
const NOW = 1000n * DAY;

function snapshot(name: string, ageDays: bigint, more: Partial<RootfsSnapshot> = {}): RootfsSnapshot {
  return { name, kind: 'checkpoint', createdAt: NOW - ageDays * DAY, usedBytes: 0n, dependents: [], ...more };
}

/** The oldest first. */
const ALL = [
  snapshot('foreign', 900n, { kind: undefined }),
  snapshot('snapshot', 800n, { kind: 'snapshot' }),
  snapshot('cloned', 700n, { dependents: ['clone tank/x'] }),
  snapshot('month', 30n),
  snapshot('week', 7n),
  snapshot('new', 0n),
];

for (const [keepCount, keepDays, expected] of [
  [0, 0, []],
  [2, 0, ['month']],
  [1, 0, ['week', 'month']],
  [0, 30, []],
  [0, 29, ['month']],
  [0, 1, ['week', 'month']],
  [3, 8, ['month']],
] as const) {
  test(`keeps ${String(keepCount)} checkpoints for ${String(keepDays)} days`, (t) => {
    const expired = expiredCheckpoints(ALL, { keepCount, keepDays }, NOW).map(({ name }) => name);
    t.deepEqual(expired, [...expected]);
  });
}

test('keeps the newest checkpoint, however old', (t) => {
  t.deepEqual(expiredCheckpoints([snapshot('old', 99n)], { keepCount: 1, keepDays: 1 }, NOW), []);
});
