/** What the server makes a snapshot as. */
export type SnapshotKind = 'snapshot' | 'checkpoint';

/** A snapshot of a root filesystem. */
export interface RootfsSnapshot {
  name: string;
  /** undefined: made by an operator or another program. */
  kind: SnapshotKind | undefined;
  /** Nanoseconds since 1970, exact to the second. */
  createdAt: bigint;
  /** Bytes that only this snapshot keeps. */
  usedBytes: bigint;
  /** What depends on it, for an operator: it cannot be removed. */
  dependents: readonly string[];
}

/**
 * Snapshots of a store's clones, by the ids of {@link RootfsStore.prepare}. The caller runs one call at a time for each id.
 * Every call throws CriError NOT_FOUND when there is no such clone.
 */
export interface RootfsSnapshots {
  /**
   * Makes a snapshot of what has been written. @param limitMs after it the call fails; the snapshot may be made later.
   * @throws CriError ALREADY_EXISTS, INVALID_ARGUMENT for a name that the store cannot have.
   */
  create(id: string, name: string, kind: SnapshotKind, limitMs: number): Promise<void>;

  /** All of them, the oldest first. */
  list(id: string): Promise<RootfsSnapshot[]>;

  /**
   * Takes a clone back to a snapshot, also while it is mounted. @param discardNewer removes the snapshots after it, without which
   * it must be the latest. @param limitMs after it the call fails; it may be done later.
   * @throws CriError FAILED_PRECONDITION.
   */
  rollback(id: string, name: string, options: { discardNewer: boolean; limitMs: number }): Promise<void>;

  /** Removes snapshots; no error for those that do not exist. @throws CriError FAILED_PRECONDITION for one with dependents. */
  remove(id: string, names: readonly string[]): Promise<void>;
}
