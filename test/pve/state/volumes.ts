import { fault } from '../http/api-error.ts';
import { DirectoryStorage } from '../storage/directory.ts';
import type { Allocation, Feature, FeatureOptions, Space, Storage, Volume } from '../storage/storage.ts';
import type { Datasets } from '../storage/zfspool/datasets.ts';
import { ZfsPoolStorage } from '../storage/zfspool/pool.ts';
import { Locks } from './locks.ts';
import type { StorageConfig, Store } from './store.ts';

/** How long to wait for a storage's lock, in milliseconds. */
const LOCK_TIMEOUT = 60_000;

/** What the volumes of a cluster are on. */
export interface VolumesSettings {
  /** Directory that the paths of directory storages are below. */
  readonly root: string;
  readonly datasets: Datasets;
  /** Whether snapshots keep the size of a dataset, as they do since release 9. */
  readonly keepsQuota: boolean;
}

/** The volumes of all storages by their ids, `STORAGE:NAME`. */
export class Volumes {
  readonly #settings: VolumesSettings;
  readonly #store: Store;
  readonly #locks = new Locks();
  readonly #open = new Map<string, { readonly config: StorageConfig; readonly storage: Storage }>();

  constructor(settings: VolumesSettings, store: Store) {
    this.#settings = settings;
    this.#store = store;
    for (const storage of Object.keys(store.storages)) this.prepare(storage);
  }

  /** @throws ApiError when there is no such storage. */
  config(storage: string): StorageConfig {
    const config = this.#store.storages[storage];
    if (config === undefined) throw fault(`storage '${storage}' does not exist`);
    return config;
  }

  /** Storages that are pools of ZFS. */
  pools(): string[] {
    return Object.entries(this.#store.storages).flatMap(([id, { type }]) => (type === 'zfspool' ? [id] : []));
  }

  /** Makes the directories of a storage that is one. */
  prepare(storage: string): void {
    this.#storage(storage);
  }

  /** Completes the configuration of a storage that was added. */
  added(storage: string): Promise<void> {
    return this.#storage(storage).added();
  }

  /** @throws ApiError when the storage is not to be had. */
  activate(storage: string): Promise<void> {
    return this.#storage(storage).activate();
  }

  /** Room of the storage in bytes; undefined while it is not active. */
  space(storage: string): Promise<Space | undefined> {
    return this.#storage(storage).space();
  }

  /** The path of a volume as the node's messages say it. */
  path(volid: string): string {
    return this.#of(volid, (storage, name) => storage.path(name));
  }

  /** Where the volume is on this machine. */
  file(volid: string): string {
    return this.#of(volid, (storage, name) => storage.file(name));
  }

  /** The guest that owns the volume by its name; undefined of what is no image, or of no storage. */
  owner(volid: string): number | undefined {
    const [storage = ''] = volid.split(':');
    return storage in this.#store.storages ? this.#of(volid, (of, name) => of.owner(name)) : undefined;
  }

  async exists(volid: string): Promise<boolean> {
    return (await this.stat(volid)) !== undefined;
  }

  /** Where an upload or a download goes on this machine. */
  target(storage: string, content: string, name: string): string {
    return this.file(`${storage}:${content}/${name}`);
  }

  /**
   * Allocates an image.
   * @throws ApiError when one of the name exists, or the storage does not take it.
   */
  allocate(storage: string, wanted: Allocation): Promise<string> {
    return this.#alone(storage, async (of) => `${storage}:${await of.allocate(wanted)}`);
  }

  /** Frees a volume; one that is gone already is nothing to do. */
  async free(volid: string): Promise<void> {
    await this.#change(volid, (storage, name) => storage.free(name));
  }

  /** @param size bytes */
  async resize(volid: string, size: number): Promise<void> {
    await this.#of(volid, (storage, name) => storage.resize(name, size));
  }

  /** Makes an image the base of linked clones and returns its new id. */
  makeBase(volid: string): Promise<string> {
    return this.#renaming(volid, (storage, name) => storage.makeBase(name));
  }

  /** Makes a linked clone of a base for `vmid` and returns its id. */
  clone(volid: string, vmid: number): Promise<string> {
    return this.#renaming(volid, (storage, name) => storage.clone(name, vmid));
  }

  /** Whether linked clones have the base. */
  isBaseInUse(volid: string): Promise<boolean> {
    return this.#of(volid, (storage, name) => storage.isBaseInUse(name));
  }

  /** Whether the node can do that with the volume. */
  has(feature: Feature, volid: string, options: FeatureOptions): boolean {
    return this.#of(volid, (storage, name) => storage.has(feature, name, options));
  }

  snapshot(volid: string, snapshot: string): Promise<void> {
    return this.#of(volid, (storage, name) => storage.snapshot(name, snapshot));
  }

  deleteSnapshot(volid: string, snapshot: string): Promise<void> {
    return this.#of(volid, (storage, name) => storage.deleteSnapshot(name, snapshot));
  }

  /** @throws ApiError where a rollback is impossible. */
  checkRollback(volid: string, snapshot: string): Promise<void> {
    return this.#of(volid, (storage, name) => storage.checkRollback(name, snapshot));
  }

  rollback(volid: string, snapshot: string): Promise<void> {
    return this.#of(volid, (storage, name) => storage.rollback(name, snapshot));
  }

  /** The snapshot of a dataset; undefined where snapshots keep no content. */
  snapshotOf(volid: string, snapshot: string): string | undefined {
    return this.#of(volid, (storage, name) => storage.snapshotOf(name, snapshot));
  }

  /** Makes an image usable at its file. */
  async activateVolume(volid: string): Promise<void> {
    await this.#of(volid, async (storage, name) => {
      await storage.activate();
      await storage.activateVolume(name);
    });
  }

  /** One volume; undefined when it does not exist. */
  stat(volid: string): Promise<Volume | undefined> {
    return this.#of(volid, (storage, name) => storage.stat(name));
  }

  /** The images of a storage, of one guest or of all. */
  async images(storage: string, vmid?: number): Promise<Volume[]> {
    const of = this.#storage(storage);
    await of.activate();
    return of.images(vmid);
  }

  /** What is no image: templates, ISO images, backups. */
  files(storage: string): Volume[] {
    return this.#storage(storage).files();
  }

  #storage(id: string): Storage {
    const config = this.config(id);
    const open = this.#open.get(id);
    if (open?.config === config) return open.storage;
    const { root, datasets, keepsQuota } = this.#settings;
    const storage =
      config.type === 'zfspool'
        ? new ZfsPoolStorage(id, config, { datasets, keepsQuota })
        : new DirectoryStorage(root, id, config);
    this.#open.set(id, { config, storage });
    return storage;
  }

  #of<T>(volid: string, work: (storage: Storage, name: string) => T): T {
    const [storage = '', ...rest] = volid.split(':');
    return work(this.#storage(storage), rest.join(':'));
  }

  /** Changes which volumes a storage has: one after the other, as the node's lock has it. */
  async #alone<T>(id: string, work: (storage: Storage) => Promise<T>): Promise<T> {
    const storage = this.#storage(id);
    await storage.activate();
    return this.#locks.with(`/var/lock/pve-manager/pve-storage-${id}`, LOCK_TIMEOUT, () => work(storage));
  }

  #change<T>(volid: string, work: (storage: Storage, name: string) => Promise<T>): Promise<T> {
    const [id = '', ...rest] = volid.split(':');
    return this.#alone(id, (storage) => work(storage, rest.join(':')));
  }

  #renaming(volid: string, work: (storage: Storage, name: string) => Promise<string>): Promise<string> {
    return this.#change(volid, async (storage, name) => `${volid.split(':')[0]!}:${await work(storage, name)}`);
  }
}
