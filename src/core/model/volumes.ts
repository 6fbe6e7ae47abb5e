import type { Rootfs, Usage } from './rootfs.ts';

export interface VolumeOptions {
  /** Whose it is, for operators: `namespace/name` of a pod, and the id of the container where it has an owner alone. */
  owner: { pod: string; container?: string };
  /** The directory of the node in whose place it is used: the volume is needed as long as that exists. */
  directory?: string;
  /** What it may hold; undefined: no limit. */
  quotaBytes?: bigint | undefined;
  signal?: AbortSignal | undefined;
}

/** A volume of a store. */
export interface StoredVolume {
  id: string;
  /** {@link VolumeOptions.directory} */
  directory: string | undefined;
  /** Whether its first content is complete: see {@link VolumeStore.markFilled}. */
  isFilled: boolean;
}

/**
 * Volumes that are filesystems of their own, which the store does not mount. Ids are file names. Every call may be repeated.
 */
export interface VolumeStore {
  /**
   * An empty volume, or the one that exists: that gets the quota. {@link RootfsMounts} mounts it.
   * @throws CriError INVALID_ARGUMENT for a malformed id, RESOURCE_EXHAUSTED for a quota below what it holds; the signal's reason.
   */
  prepare(id: string, options: VolumeOptions): Promise<Rootfs>;

  /** Records that a volume has its first content. One without it is made again by whoever needs it. */
  markFilled(id: string): Promise<void>;

  /** Removes a volume that the caller has unmounted; no error when there is none. */
  remove(id: string): Promise<void>;

  /** The volumes present; known without asking anybody. */
  list(): Promise<StoredVolume[]>;

  /** What it holds; undefined when it does not exist. */
  usage(id: string): Promise<Usage | undefined>;
}
