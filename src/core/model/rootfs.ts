import type { Readable } from 'node:stream';
import type { IdRange } from './id-range.ts';
import type { RootfsChanges } from './rootfs-changes.ts';
import type { RootfsSnapshots } from './rootfs-snapshots.ts';
import type { RootfsTransfers } from './rootfs-transfer.ts';
import type { VolumeStore } from './volumes.ts';

/** Bytes and inodes used on a filesystem. */
export interface Usage {
  bytes: bigint;
  inodes: bigint;
}

/** Bytes used and free on the pool or filesystem of a store, by whoever uses it. */
export interface StoreSpace {
  used: bigint;
  free: bigint;
}

/** A layer of a store, as its removal sees it. */
export interface StoredLayer {
  chainId: string;
  /** Chain id of the layers below, undefined for the lowest. */
  parent: string | undefined;
  /** What its removal frees. */
  bytes: bigint;
  /** Whether a root filesystem builds on it directly. */
  isUsed: boolean;
}

/** What was removed and is still there: a process uses it, or its removal has not ended. */
export interface Remains {
  /** Name of a dataset, or path of a directory. */
  name: string;
  bytes: bigint;
}

/** A layer that is read while it is unpacked. */
export interface LayerStream {
  /** Bytes of it as it is stored. */
  size: number;
  /** Opens its bytes; they fail when they do not match their digest. */
  open: () => Promise<Readable>;
}

/** One layer to apply. Digests are written `sha256:<64 hex>`. */
export interface LayerApply {
  /** Chain id of the layers below (OCI image specification), undefined for the lowest. */
  parent: string | undefined;
  chainId: string;
  /** Digest of the uncompressed tar, against which the bytes are verified. */
  diffId: string;
  /** The tar, in a file or as a stream: plain or compressed by gzip, zstd or xz, detected by its first bytes. */
  blob: string | LayerStream;
  signal?: AbortSignal | undefined;
}

/** One mount of a root filesystem. */
export interface RootfsMount {
  /** Filesystem type, such as overlay (mount(8), -t). */
  type: string;
  source: string;
  /** Mount options, those of the filesystem among them: `ro`, `lowerdir=a:b`. */
  options: readonly string[];
  /** Where it is mounted, relative to the root filesystem; "": its root. */
  target: string;
  /** Absolute directory to which relative paths in `options` are relative. */
  directory?: string;
  /** Where the root filesystem has {@link Rootfs.ids}: the directory, at or above `directory`, that is mapped. */
  mappedDirectory?: string;
}

/**
 * A root filesystem to be mounted by the kernel that runs the container: mounts in their order, or a block device with the
 * type of its filesystem (mount(8), -t) and the options to mount it with.
 */
export type Rootfs = (
  { mounts: readonly RootfsMount[] } | { blockDevice: string; fsType: string; options?: readonly string[] }
) & {
  /** The user namespace of its user, whose ids own the mounted files like the host's ids in the store. */
  ids?: IdRange;
};

/** The id of no container. */
const TRIAL = `${'0'.repeat(64)}.`;

/** Id of a root filesystem for a trial: named like a container's, so that a start removes what a killed server left. */
export function trialId(purpose: string): string {
  return `${TRIAL}${purpose}`;
}

/** Whether an id is one of {@link trialId}. */
export function isTrial(id: string): boolean {
  return id.startsWith(TRIAL);
}

/** What a root filesystem may take and has reserved, in bytes, beyond its image; none by default. */
export interface RootfsLimits {
  readonly quotaBytes?: bigint;
  readonly reservationBytes?: bigint;
}

/** The limits of the root filesystems and volumes of one backend, ignored where the store enforces none. */
export interface LimitPolicy {
  /** Of those for which no annotation has others. */
  readonly defaults: RootfsLimits;
  /** The most that annotations may ask for; what is absent has no bound. A volume's quota is bounded as a root filesystem's. */
  readonly largest: RootfsLimits;
}

export interface RootfsOwner {
  pod: string;
  image: string;
  /** VMID of the Proxmox guest that its pod is: a store may put it where Proxmox shows the guest's volumes. */
  guest?: number | undefined;
}

export interface RootfsOptions {
  /** A read-only view. */
  readonly?: boolean;
  ids?: IdRange | undefined;
  /** Of a writable one; only where the store {@link RootfsStore.enforcesLimits}. */
  limits?: RootfsLimits | undefined;
  /** Whose it is, for operators: a store may show it. */
  owner?: RootfsOwner | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Stores image layers as a chain of snapshots and provides containers with clones and views of them, which it does not mount.
 * Every call may be repeated; `recover` removes the leftovers of a killed process.
 */
export interface RootfsStore {
  /**
   * overlayfs, zfs:DATASET. Records of containers contain it: each store of a server has a unique name, which never changes.
   */
  readonly name: string;
  /** Layers of one image that a root filesystem can have. */
  readonly maxLayers: number;
  /** Whether {@link RootfsOptions.limits} have an effect. */
  readonly enforcesLimits: boolean;
  /** Absent where the store has no snapshots of clones. */
  readonly snapshots?: RootfsSnapshots;
  /** Where it has volumes; undefined where they are directories beside it. */
  readonly volumes?: VolumeStore;
  /** Absent where layers cannot be moved but as tars. */
  readonly transfers?: RootfsTransfers;

  hasLayer(chainId: string): Promise<boolean>;

  /** Applies a layer; rolled back when it fails. @throws CriError INVALID_ARGUMENT for a hostile or broken archive. */
  applyLayer(layer: LayerApply): Promise<Usage>;

  /** Chain ids present. */
  listLayers(): Promise<string[]>;

  /** The layers present, measured for this call. */
  describeLayers(): Promise<StoredLayer[]>;

  /** What is left of removed layers and root filesystems. */
  remains(): Promise<Remains[]>;

  /**
   * Removes a layer; no error when it does not exist.
   * @throws CriError FAILED_PRECONDITION while another layer or a rootfs builds on it.
   */
  removeLayer(chainId: string): Promise<void>;

  /**
   * A clone of the snapshot `chainId` (undefined: empty), writable unless `options` request a view. A repeated call returns the
   * same one. {@link RootfsMounts} mounts it.
   * @throws CriError NOT_FOUND when a layer is missing, INVALID_ARGUMENT for a malformed id or one that exists with other
   *   options; the signal's reason.
   */
  prepare(id: string, chainId: string | undefined, options?: RootfsOptions): Promise<Rootfs>;

  /** What {@link prepare} returned for this id; undefined when there is none. */
  get(id: string): Promise<Rootfs | undefined>;

  /** The error of a failed mount or unmount of what {@link prepare} returned: with the store's reason, where it knows one, or `failure`. */
  explain?(id: string, failure: unknown): Promise<unknown>;

  /** Removes a clone or view that the caller has unmounted; no error when there is none. */
  remove(id: string): Promise<void>;

  /** Ids of the clones and views. */
  list(): Promise<string[]>;

  /** The usage of the clone beyond its image; undefined when it does not exist. */
  usage(id: string): Promise<Usage | undefined>;

  /**
   * A root filesystem beside its image. On ZFS as it is at this moment; elsewhere what is written meanwhile may show.
   * @throws CriError NOT_FOUND when it does not exist; the signal's reason.
   */
  changes(id: string, signal?: AbortSignal): Promise<RootfsChanges>;

  /** The total usage of the layers, known without measuring, and a path on their filesystem. */
  fsUsage(): Promise<Usage & { mountpoint: string }>;

  /** What is used and free where the store is. @throws when it cannot be read, as that of a suspended pool. */
  space(): Promise<StoreSpace>;

  /** Called once at start: removes incomplete layers and clones. */
  recover(): Promise<void>;

  /** Removes what an empty store has outside the server's directories. Returns what stays there because it is in use or foreign. */
  erase?(): Promise<string[]>;
}
