import type { RootfsSnapshot } from '../../model/rootfs-snapshots.ts';

/** How long checkpoints of a container are kept; each limit 0 for none. */
export interface Retention {
  /** The newest ones. */
  keepCount: number;
  /** Those that are no older, in days. */
  keepDays: number;
}

const DAY = 86_400_000_000_000n;

/**
 * The checkpoints that are to be removed after one was made: beyond the count, or too old. Never the newest, one that something
 * depends on, or a snapshot that is none.
 * @param snapshots the oldest first. @param now nanoseconds since 1970.
 */
export function expiredCheckpoints(
  snapshots: readonly RootfsSnapshot[],
  { keepCount, keepDays }: Retention,
  now: bigint,
): RootfsSnapshot[] {
  const newestFirst = snapshots.filter(({ kind }) => kind === 'checkpoint').reverse();
  return newestFirst.filter(({ createdAt, dependents }, index) => {
    if (index === 0 || dependents.length > 0) return false;
    return (keepCount > 0 && index >= keepCount) || (keepDays > 0 && now - createdAt > BigInt(keepDays) * DAY);
  });
}
