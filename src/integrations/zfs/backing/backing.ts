import type { Rootfs, RootfsLimits } from '../../../core/model/rootfs.ts';
import type { Entry } from '../answers/properties.ts';
import type { Settings } from '../zfs.ts';

/** A complete layer, or the empty base of all, as those see it that are clones of it. */
export interface Origin {
  snapshot: string;
  /** What its files use, those of the layers below among them. */
  bytes: bigint;
  /** Bytes on disk. */
  referenced: bigint;
  /** The number of its files; 0 where it is not known. */
  objects: bigint;
  /** Bytes that a volume has; undefined for a filesystem. */
  volumeBytes: bigint | undefined;
}

export interface OpenOptions {
  readonly: boolean;
  /** Whether it may lack what follows its creation: nobody has mounted it then. */
  isNew: boolean;
  signal?: AbortSignal | undefined;
}

/** What layers and root filesystems are made of: filesystems of ZFS, or volumes with a filesystem of the kernel in them. */
export interface Backing {
  /** The first part of the store's name. */
  readonly store: 'zfs' | 'zvol';
  /** With which Proxmox begins the names of a guest's volumes of this kind. */
  readonly guestPrefix: 'subvol' | 'vm';
  /** The name of the empty dataset that all others descend from. */
  readonly base: string;
  /** The property of a complete layer's snapshot with the number of its files. */
  readonly objects: string;
  /** What the datasets inherit from those that they are in. */
  readonly inherited: { readonly layers: Settings; readonly rootfs: Settings };
  /** What a root filesystem needs that is elsewhere. */
  readonly own: Settings;

  /** Creates an empty dataset, with a root directory only. */
  create(name: string, settings: Settings): Promise<void>;

  /** Properties of a clone that becomes a layer. */
  writable(origin: Origin): Settings;

  /**
   * Properties of a root filesystem with these limits. @param isShown in a storage of Proxmox.
   * @throws CriError FAILED_PRECONDITION for limits that it cannot have.
   */
  limited(limits: RootfsLimits, origin: Origin, isShown: boolean): Settings;

  /** Mounts what becomes a layer. */
  mount(name: string, target: string, signal?: AbortSignal): Promise<void>;

  /**
   * Called before what was written to a mounted dataset is kept; returns properties of its snapshot.
   * @throws CriError when not all of it could be written.
   */
  flush(name: string, target: string): Promise<Settings>;

  /** Called for a complete layer, which nothing mounts any more. */
  seal(name: string): Promise<void>;

  /** Why writing has failed: a better error than the one of the program that wrote; the same where there is none. */
  explain(name: string, error: unknown): Promise<unknown>;

  /** Whether what {@link open} returns can be mounted with mapped ids. @throws CriError FAILED_PRECONDITION with the remedy. */
  needMappedIds(): Promise<void>;

  /** A root filesystem, to be mounted. */
  open(name: string, options: OpenOptions): Promise<Rootfs>;

  /** The number of files by the name of the dataset, where it is known. @param entries with {@link objects}. */
  count(entries: readonly Entry[]): Promise<ReadonlyMap<string, bigint>>;
}
