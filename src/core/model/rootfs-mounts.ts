import type { Rootfs } from './rootfs.ts';

/** A root filesystem's mount point. */
export interface RootfsMountPoint {
  id: string;
  isMounted: boolean;
}

/** What the filesystem of a root can hold, with the quota that the root has. */
export interface Capacity {
  bytes: bigint;
  inodes: bigint;
  freeInodes: bigint;
}

/** Mounts root filesystems where the containers run. Every call may be repeated, also after one that was cut off. */
export interface RootfsMounts {
  /**
   * Mounts a root filesystem, unless it is mounted, and returns the absolute path of its root. Where it has ids, the root of
   * that user namespace can reach it, and nobody else but the host's root.
   * @throws Error with the kernel's reason; the signal's reason. {@link unmount} removes what has been mounted then.
   */
  mount(id: string, rootfs: Rootfs, signal?: AbortSignal): Promise<string>;

  /**
   * Writes what is in memory of a mounted root filesystem to its filesystem, mapped files among it; no error when it is not
   * mounted. @throws CriError DEADLINE_EXCEEDED after `limitMs`; Error with the reason.
   */
  sync(id: string, limitMs: number): Promise<void>;

  /**
   * Forgets what is in memory of files, for root filesystems whose store has changed them; what processes have mapped stays.
   * @throws Error with the reason.
   */
  dropCache(): Promise<void>;

  /**
   * Unmounts a root filesystem and removes its mount point; no error when there is none.
   * @throws Error with the kernel's reason; CriError UNAVAILABLE when its device does not respond: a repetition then succeeds.
   */
  unmount(id: string): Promise<void>;

  /** The capacity of a mounted root filesystem; undefined when it is not mounted. @throws Error with the reason. */
  capacity(id: string): Promise<Capacity | undefined>;

  /** The mount points present. */
  list(): Promise<RootfsMountPoint[]>;
}
