import type { IdRange } from './id-range.ts';

/** Bytes and inodes used on a filesystem. */
export interface Usage {
  bytes: bigint;
  inodes: bigint;
}

/** One layer to apply. Digests are written `sha256:<64 hex>`. */
export interface LayerApply {
  /** Chain id of the layers below (OCI image specification), undefined for the lowest. */
  parent: string | undefined;
  chainId: string;
  /** Digest of the uncompressed tar, against which the bytes are verified. */
  diffId: string;
  /** Path of a file with the tar, plain or compressed by gzip, zstd or xz, detected by its first bytes. */
  blob: string;
  signal?: AbortSignal | undefined;
}

/** A container's writable root filesystem, mounted. */
export interface Rootfs {
  /** Mount point, absolute. */
  path: string;
}

export interface RootfsOptions {
  /** A read-only view. */
  readonly?: boolean;
  /** The user namespace of its user, whose ids own the files like the host's ids in the store. */
  ids?: IdRange | undefined;
}

/**
 * Stores image layers as a chain of snapshots and provides containers with clones and views of them.
 * Every call may be repeated; `recover` removes the leftovers of a killed process.
 */
export interface RootfsStore {
  /** overlayfs, zfs. */
  readonly name: string;

  hasLayer(chainId: string): Promise<boolean>;

  /** Applies a layer; rolled back when it fails. @throws CriError INVALID_ARGUMENT for a hostile or broken archive. */
  applyLayer(layer: LayerApply): Promise<Usage>;

  /** Chain ids present. */
  listLayers(): Promise<string[]>;

  /**
   * Removes a layer; no error when it does not exist.
   * @throws CriError FAILED_PRECONDITION while another layer or a rootfs builds on it.
   */
  removeLayer(chainId: string): Promise<void>;

  /**
   * A clone of the snapshot `chainId` (undefined: empty), mounted and writable unless `options` request a view. A repeated call
   * returns the same one.
   */
  prepare(id: string, chainId: string | undefined, options?: RootfsOptions): Promise<Rootfs>;

  /** The reason why clones for user namespaces are not supported, with the remedy; undefined when they are. Checked once. */
  idmapProblem(): Promise<string | undefined>;

  /** Unmounts and removes a clone; no error when there is none. */
  remove(id: string): Promise<void>;

  /** Ids of the clones and views. */
  list(): Promise<string[]>;

  /** The usage of the clone beyond its image; undefined when it does not exist. */
  usage(id: string): Promise<Usage | undefined>;

  /** The total usage of the layers, known without measuring, and a path on their filesystem. */
  fsUsage(): Promise<Usage & { mountpoint: string }>;

  /** Run once at start: removes incomplete layers, remounts the clones in `keep` if needed. */
  recover(keep: ReadonlySet<string>): Promise<void>;
}
