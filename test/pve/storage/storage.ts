/** A volume of a storage as it is listed; members that a type of storage does not tell are left out. */
export interface Volume {
  readonly volid: string;
  readonly format: string;
  /** Bytes. */
  readonly size: number;
  /** Bytes. */
  readonly used?: number;
  /** Seconds since the epoch. */
  readonly ctime?: number;
  /** The guest that owns it; only images have one. */
  readonly vmid?: number;
  /** Only what is no image has one. */
  readonly content?: string;
  /** What an image is a clone of; null of none. */
  readonly parent?: string | null;
  readonly name?: string;
}

/** Room of a storage in bytes. */
export interface Space {
  readonly total: number;
  readonly used: number;
  readonly avail: number;
}

/** What is asked of a new image. */
export interface Allocation {
  readonly vmid: number;
  readonly format: string;
  /** Bytes; 0 for a directory or dataset without a limit. */
  readonly size: number;
  /** The first free one where it is left out. */
  readonly name?: string;
}

/** What a volume can have done to it. */
export type Feature = 'snapshot' | 'clone' | 'copy' | 'template';

/** How a volume is meant: as it is now, or as the named snapshot has it. */
export interface FeatureOptions {
  readonly guest: 'lxc' | 'qemu';
  readonly snapshot?: string;
}

/**
 * The volumes of one storage, by their names: what follows the colon of a volume's id. Every method throws an ApiError with
 * the node's words where that cannot be done.
 */
export interface Storage {
  /** Completes the configuration of a storage that is added. */
  added(): Promise<void>;
  /** Makes the storage usable, as the node does before each use of it. */
  activate(): Promise<void>;
  /** Undefined while the storage is not there. */
  space(): Promise<Space | undefined>;
  /** Where a volume is, as the node's messages say it. */
  path(name: string): string;
  /** Where a volume is on this machine. */
  file(name: string): string;
  /** The guest that owns the volume; undefined of what is no image. */
  owner(name: string): number | undefined;
  /** Undefined when there is no such volume, where the node does not say so itself. */
  stat(name: string): Promise<Volume | undefined>;
  /** The images of one guest or of all. */
  images(vmid?: number): Promise<Volume[]>;
  /** What is no image: templates, ISO images, backups. */
  files(): Volume[];
  /** @returns the name of the new image. */
  allocate(wanted: Allocation): Promise<string>;
  /** Removes an image; one that is gone already is nothing to do. */
  free(name: string): Promise<void>;
  /** @param size bytes */
  resize(name: string, size: number): Promise<void>;
  /** Makes an image the base of linked clones; returns its new name. */
  makeBase(name: string): Promise<string>;
  /** Makes a linked clone of a base; returns its name. */
  clone(name: string, vmid: number): Promise<string>;
  /** Whether linked clones have the base. */
  isBaseInUse(name: string): Promise<boolean>;
  has(feature: Feature, name: string, options: FeatureOptions): boolean;
  snapshot(name: string, snapshot: string): Promise<void>;
  deleteSnapshot(name: string, snapshot: string): Promise<void>;
  /** Throws where a rollback is impossible. */
  checkRollback(name: string, snapshot: string): Promise<void>;
  rollback(name: string, snapshot: string): Promise<void>;
  /** The snapshot of a dataset; undefined where snapshots keep no content. */
  snapshotOf(name: string, snapshot: string): string | undefined;
  /** Makes an image usable at its file. */
  activateVolume(name: string): Promise<void>;
}
