/** A dataset below another one. */
export interface Dataset {
  /** With all of its path. */
  readonly name: string;
  readonly type: 'filesystem' | 'volume';
  /** Bytes: the quota of a file system, 0 without one, or the size of a volume. */
  readonly size: number;
  /** The snapshot that it is a clone of. */
  readonly origin?: string;
}

/** How a volume is made, in ZFS's own words. */
export interface NewVolume {
  /** Bytes. */
  readonly size: number;
  readonly sparse: boolean;
  readonly blocksize?: string;
}

/** Properties of datasets by name. */
export type Properties = Readonly<Record<string, string>>;

/**
 * The datasets of this machine, or those that the node only notes. Names are those of datasets with all of their path, of
 * snapshots with `@`. Every method throws an ApiError, `zfs error:` and what zfs or zpool says.
 */
export interface Datasets {
  /** Whether the dataset or one below it is mounted. */
  mounted(dataset: string): boolean;
  /** Whether the pool of the name is imported. */
  imported(pool: string): Promise<boolean>;
  importPool(pool: string): Promise<void>;
  mountAll(): Promise<void>;
  /** Values of properties, as parsable text, in the order that they are asked in. */
  get(dataset: string, ...properties: string[]): Promise<string[]>;
  set(dataset: string, property: string, value: string): Promise<void>;
  /** The datasets directly below. */
  children(dataset: string): Promise<Dataset[]>;
  createFilesystem(dataset: string, properties: Properties): Promise<void>;
  createVolume(dataset: string, volume: NewVolume): Promise<void>;
  /** Removes the dataset with its snapshots. */
  destroy(dataset: string): Promise<void>;
  destroySnapshot(snapshot: string): Promise<void>;
  rename(dataset: string, name: string): Promise<void>;
  clone(snapshot: string, dataset: string, properties: Properties): Promise<void>;
  snapshot(snapshot: string, properties: Properties): Promise<void>;
  /** Names of a dataset's snapshots, without its own, the oldest first. */
  snapshots(dataset: string): Promise<string[]>;
  /** Only to the newest snapshot. */
  rollback(snapshot: string): Promise<void>;
  mount(dataset: string): Promise<void>;
  unmount(dataset: string): Promise<void>;
  /** Makes the block device of a volume be at its place below /dev/zvol. */
  link(dataset: string): Promise<void>;
}
