import type { IdRange } from './id-range.ts';

/** Bytes and inodes used by something on a file system. */
export interface Usage {
  bytes: bigint;
  inodes: bigint;
}

/** One layer to apply. Digests are written `sha256:<64 hex>`. */
export interface LayerApply {
  /** Chain id of the layers below (OCI image specification), undefined for the lowest. */
  parent: string | undefined;
  chainId: string;
  /** Digest of the uncompressed tar; the bytes are held against it. */
  diffId: string;
  /** Path of a file with the tar, plain or compressed by gzip, zstd or xz; what its bytes begin with decides. */
  blob: string;
  signal?: AbortSignal | undefined;
}

/** A container's writable root file system, mounted. */
export interface Rootfs {
  /** Mount point, absolute. */
  path: string;
}

export interface RootfsOptions {
  /** A mere view that nothing can be written to. */
  readonly?: boolean;
  /** The user namespace of who uses it: the files belong to its ids as they belong to the host's in the store. */
  ids?: IdRange | undefined;
}

/**
 * Keeps image layers as snapshots in a chain and gives containers writable copies of them.
 * Every call may be repeated; what a killed process left half done is removed by `recover`.
 */
export interface RootfsStore {
  /** overlayfs, zfs. */
  readonly name: string;

  hasLayer(chainId: string): Promise<boolean>;

  /** Applies a layer; nothing of it stays when it fails. @throws CriError INVALID_ARGUMENT for a hostile or broken archive. */
  applyLayer(layer: LayerApply): Promise<Usage>;

  /** Chain ids present. */
  listLayers(): Promise<string[]>;

  /**
   * Removes a layer; no error when it is not there.
   * @throws CriError FAILED_PRECONDITION while another layer or a rootfs builds on it.
   */
  removeLayer(chainId: string): Promise<void>;

  /**
   * A copy on top of `chainId` (undefined: empty), mounted and writable unless `options` say otherwise. Repeating gives the
   * same one.
   */
  prepare(id: string, chainId: string | undefined, options?: RootfsOptions): Promise<Rootfs>;

  /** Why copies for user namespaces cannot be made here, with the remedy; undefined when they can. Tried once. */
  idmapProblem(): Promise<string | undefined>;

  /** Unmounts and removes the copy; no error when there is none. */
  remove(id: string): Promise<void>;

  /** Ids of the copies present. */
  list(): Promise<string[]>;

  /** What the copy holds beyond its image; undefined when it does not exist. */
  usage(id: string): Promise<Usage | undefined>;

  /** What the layers use together, known without counting, and a path on their file system. */
  fsUsage(): Promise<Usage & { mountpoint: string }>;

  /** Run once at start: removes half-applied layers, mounts the copies in `keep` again where needed. */
  recover(keep: ReadonlySet<string>): Promise<void>;
}
