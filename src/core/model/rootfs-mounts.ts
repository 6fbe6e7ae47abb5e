import type { Rootfs } from './rootfs.ts';

/** A root filesystem's mount point. */
export interface RootfsMountPoint {
  id: string;
  isMounted: boolean;
}

/** Mounts root filesystems where the containers run. Every call may be repeated, also after one that was cut off. */
export interface RootfsMounts {
  /**
   * Mounts a root filesystem, unless it is mounted, and returns the absolute path of its root. Where it has ids, the root of
   * that user namespace can reach it, and nobody else but the host's root.
   * @throws Error with the kernel's reason; the signal's reason. {@link unmount} removes what has been mounted then.
   */
  mount(id: string, rootfs: Rootfs, signal?: AbortSignal): Promise<string>;

  /** Unmounts a root filesystem and removes its mount point; no error when there is none. */
  unmount(id: string): Promise<void>;

  /** The mount points present. */
  list(): Promise<RootfsMountPoint[]>;
}
