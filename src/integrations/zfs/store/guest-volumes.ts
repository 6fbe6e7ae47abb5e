import { CriError, failedPrecondition, invalidArgument, StatusCode } from '../../../core/model/errors.ts';
import { type Entry, ownValueOf } from '../answers/properties.ts';
import type { CallOptions } from '../commands.ts';
import { isKind } from '../errors/zfs-error.ts';
import { poolOf } from '../names.ts';
import type { Zfs } from '../zfs.ts';
import { type Kind, PROPERTY } from './layout.ts';

/** Volumes that a guest can have (PVE::Storage::Plugin, MAX_VOLUMES_PER_GUEST). */
const MAX_VOLUMES = 1024;
/** VMIDs of Proxmox VE. */
const VMID = { least: 100, most: 999_999_999 };

export interface GuestVolumesOptions {
  zfs: Zfs;
  /** The dataset of the Proxmox storage (of type zfspool, its `pool`). */
  storage: string;
  /** A dataset of the store: clones are in the pool of their origin. */
  store: string;
  /** How Proxmox names them: `subvol` for filesystems, `vm` for block devices. */
  prefix: 'subvol' | 'vm';
  /** The root directory of the server: several servers may use a storage. */
  root: string;
}

/**
 * The root filesystems of guests, as Proxmox VE names volumes: `subvol-<vmid>-disk-<n>` in the dataset of a storage. Others
 * have datasets there, also for the same guest: those of the server are known by their properties.
 */
export class GuestVolumes {
  readonly #options: GuestVolumesOptions;
  /** Datasets by the id of the root filesystem; undefined when it is not known what exists. */
  #index: Promise<Map<string, string>> | undefined;

  constructor(options: GuestVolumesOptions) {
    this.#options = options;
  }

  /** The dataset of the storage. */
  get storage(): string {
    return this.#options.storage;
  }

  /** Reads what exists. @throws CriError FAILED_PRECONDITION where the storage is missing, or in another pool. */
  async load(): Promise<void> {
    const { storage, store } = this.#options;
    if (poolOf(storage) !== poolOf(store))
      throw failedPrecondition(
        `the storage of guests ${storage} is in another pool than ${store}; choose one in the same`,
      );
    this.#index = undefined;
    try {
      await this.#known();
    } catch (error) {
      if (!isKind(error, 'notFound')) throw error;
      throw failedPrecondition(`the storage of guests: no dataset ${storage}`, error);
    }
  }

  /** The dataset that was created for a root filesystem; what it is now is the caller's to check, by {@link isOwn}. */
  async find(id: string): Promise<string | undefined> {
    return (await this.#known()).get(id);
  }

  /** Whether a dataset with {@link PROPERTY} `container` and `root` is the one of that root filesystem, of this server. */
  isOwn(entry: Entry, id: string): boolean {
    return ownValueOf(entry, PROPERTY.root) === this.#options.root && ownValueOf(entry, PROPERTY.container) === id;
  }

  /** Has `make` create the dataset with the lowest number that is free. Returns its name. */
  async create(id: string, guest: number, make: (name: string) => Promise<void>): Promise<string> {
    if (!Number.isInteger(guest) || guest < VMID.least || guest > VMID.most)
      throw invalidArgument('guest', `${String(guest)} is no VMID`);
    const { storage, prefix } = this.#options;
    const taken = new Set((await this.#known()).values());
    for (let number = 0; number < MAX_VOLUMES; number += 1) {
      const name = `${storage}/${prefix}-${String(guest)}-disk-${String(number)}`;
      if (taken.has(name)) continue;
      try {
        await make(name);
      } catch (error) {
        if (isKind(error, 'alreadyExists')) continue;
        // It may have been created.
        this.#index = undefined;
        throw error;
      }
      (await this.#known()).set(id, name);
      return name;
    }
    const message = `guest ${String(guest)} has ${String(MAX_VOLUMES)} volumes in ${storage}; remove some of them`;
    throw new CriError(StatusCode.RESOURCE_EXHAUSTED, message);
  }

  /** To be called when its dataset is gone. */
  async forget(id: string): Promise<void> {
    (await this.#known()).delete(id);
  }

  /** The server's own datasets with these properties, those that were still in use when they were removed among them. */
  async list(properties: readonly string[], call?: CallOptions): Promise<Entry[]> {
    const { zfs, storage, root } = this.#options;
    const read = [...new Set([...properties, PROPERTY.kind, PROPERTY.root, PROPERTY.container])];
    const entries = await zfs.list(storage, read, { ...call, depth: 1 });
    return entries.filter((entry) => ownValueOf(entry, PROPERTY.root) === root && entry.name !== storage);
  }

  #known(): Promise<Map<string, string>> {
    const read = async () => {
      const index = new Map<string, string>();
      for (const entry of await this.list([])) {
        const id = ownValueOf(entry, PROPERTY.container);
        if (id === undefined || ownValueOf(entry, PROPERTY.kind) !== ('rootfs' satisfies Kind)) continue;
        index.set(id, entry.name);
      }
      return index;
    };
    this.#index ??= read().catch((error: unknown) => {
      this.#index = undefined;
      throw error;
    });
    return this.#index;
  }
}
