import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { failedPrecondition } from '../../../core/model/errors.ts';
import type { Logger } from '../../../core/model/logger.ts';
import type {
  LayerApply,
  Remains,
  Rootfs,
  RootfsOptions,
  RootfsStore,
  StoredLayer,
  StoreSpace,
  Usage,
} from '../../../core/model/rootfs.ts';
import type { RootfsChanges } from '../../../core/model/rootfs-changes.ts';
import { MAX_LAYERS } from '../../../host/layers/bounds.ts';
import type { TarLimits } from '../../../host/layers/extract.ts';
import type { LayerLimits } from '../../../host/layers/layer-filter.ts';
import { LAYER_LIMITS } from '../../../host/layers/limits.ts';
import { unmountBelow } from '../../../host/mounts/mount.ts';
import { removeMountPoints } from '../../../host/trees/tree-pair.ts';
import { runLocked } from '../../../utils/async/abortable.ts';
import { KeyedLock } from '../../../utils/async/keyed-lock.ts';
import { numberOf } from '../answers/properties.ts';
import { poolOf } from '../names.ts';
import type { Backing } from '../backing/backing.ts';
import { Filesystems } from '../backing/filesystems.ts';
import { Volumes } from '../backing/volumes.ts';
import { isKind } from '../errors/zfs-error.ts';
import { LayerDatasets } from '../layers/layer-datasets.ts';
import type { Zfs } from '../zfs.ts';
import { datasetChanges, destroyView } from './dataset-changes.ts';
import { GuestVolumes } from './guest-volumes.ts';
import { applyProperties, type DatasetProperties } from './dataset-properties.ts';
import { Layout } from './layout.ts';
import { explainMount, mountDataset } from '../backing/mount-dataset.ts';
import { RootfsDatasets } from './rootfs-datasets.ts';
import { DatasetTransfers } from '../transfer/dataset-transfers.ts';
import { SnapshotDatasets } from './snapshot-datasets.ts';
import { removeStoreDirectory } from './store-directory.ts';
import { VolumeDatasets } from './volume-datasets.ts';

export interface ZfsStoreOptions {
  zfs: Zfs;
  /** The dataset below which everything is; it exists. */
  dataset: string;
  /** The root directory of the server: no other server may use the dataset. */
  root: string;
  /** Directory of the store's own mount points, created when missing. */
  mounts: string;
  /** The dataset of a Proxmox storage (zfspool) for the root filesystems of guests, in the same pool; none by default. */
  guests?: string | undefined;
  /** Of what is written from now on; by default as the dataset has it. */
  compression?: string;
  recordsize?: string;
  /** Makes layers and root filesystems volumes with ext4, of so many bytes at least; by default they are filesystems of ZFS. */
  volumeBytes?: bigint | undefined;
  logger: Logger;
  /** Limits of one layer; the defaults are in `bounds.ts`. */
  limits?: Partial<LayerLimits & TarLimits>;
}

/** The rootfs store on ZFS: a dataset for each layer, and one for each root filesystem, all clones of the layers below. */
export class ZfsStore implements RootfsStore {
  readonly name: string;
  readonly maxLayers = MAX_LAYERS;
  readonly enforcesLimits = true;
  /** Absent for volumes: another kernel may be writing to them. */
  readonly snapshots?: SnapshotDatasets;
  readonly volumes: VolumeDatasets;
  /** Absent for volumes: only streams of filesystems are received. */
  readonly transfers?: DatasetTransfers;
  readonly #zfs: Zfs;
  readonly #layout: Layout;
  readonly #backing: Backing;
  readonly #mounts: string;
  readonly #properties: DatasetProperties;
  readonly #layers: LayerDatasets;
  readonly #guests: GuestVolumes | undefined;
  readonly #rootfs: RootfsDatasets;
  /** One key for each layer and root filesystem. */
  readonly #locks = new KeyedLock();
  #loaded: Promise<void> | undefined;
  #isErased = false;

  constructor(options: ZfsStoreOptions) {
    const { zfs, dataset, root, mounts, guests, volumeBytes, logger, limits } = options;
    const { compression = '', recordsize = '' } = options;
    this.#mounts = mounts;
    const directory = { mounts: this.#work };
    const backing =
      volumeBytes === undefined ? new Filesystems(zfs) : new Volumes({ zfs, bytes: volumeBytes, ...directory });
    this.name = `${backing.store}:${dataset}`;
    this.#zfs = zfs;
    this.#layout = new Layout(dataset, root);
    this.#backing = backing;
    this.#properties = { compression, recordsize };
    const common = { zfs, layout: this.#layout, backing };
    this.#layers = new LayerDatasets({ ...common, ...directory, limits: { ...LAYER_LIMITS, ...limits }, logger });
    const { guestPrefix: prefix } = backing;
    this.#guests =
      guests === undefined ? undefined : new GuestVolumes({ zfs, storage: guests, store: dataset, prefix, root });
    this.#rootfs = new RootfsDatasets({ ...common, layers: this.#layers.index, guests: this.#guests });
    if (backing.store === 'zfs') {
      this.snapshots = new SnapshotDatasets(zfs, (id) => this.#rootfs.datasetOf(id));
      const parts = { ...common, layers: this.#layers, rootfs: this.#rootfs, locks: this.#locks };
      this.transfers = new DatasetTransfers({ ...parts, run: (task) => this.#run(task), logger });
    }
    this.volumes = new VolumeDatasets({ zfs, layout: this.#layout, load: () => this.#load() });
  }

  async hasLayer(chainId: string): Promise<boolean> {
    await this.#load();
    return this.#layers.index.get(chainId) !== undefined;
  }

  applyLayer(request: LayerApply): Promise<Usage> {
    return this.#run(() =>
      runLocked(this.#locks, request.chainId, request.signal, async () => {
        const { bytes, inodes } = this.#layers.index.get(request.chainId) ?? (await this.#layers.apply(request));
        return { bytes, inodes };
      }),
    );
  }

  async listLayers(): Promise<string[]> {
    await this.#load();
    return this.#layers.index.list().map(({ chainId }) => chainId);
  }

  async describeLayers(): Promise<StoredLayer[]> {
    await this.#load();
    const [bytes, used] = await Promise.all([this.#layers.bytes(), this.#rootfs.chains()]);
    return this.#layers.index
      .list()
      .map(({ chainId, parent }) => ({ chainId, parent, bytes: bytes.get(chainId) ?? 0n, isUsed: used.has(chainId) }));
  }

  async remains(): Promise<Remains[]> {
    await this.#load();
    return [...(await this.#rootfs.remains()), ...(await this.volumes.remains())];
  }

  async removeLayer(chainId: string): Promise<void> {
    await this.#run(() =>
      this.#locks.run(chainId, async () => {
        if (this.#layers.index.get(chainId) === undefined) return;
        // One of them may be a clone of it.
        await this.#rootfs.sweep();
        await this.#layers.remove(chainId);
        await this.#layers.copies.sweep();
      }),
    );
  }

  prepare(id: string, chainId: string | undefined, options: RootfsOptions = {}): Promise<Rootfs> {
    return this.#run(() =>
      runLocked(this.#locks, id, options.signal, () => this.#rootfs.prepare(id, chainId, options)),
    );
  }

  async get(id: string): Promise<Rootfs | undefined> {
    await this.#load();
    return this.#rootfs.get(id);
  }

  explain(id: string, failure: unknown): Promise<unknown> {
    return explainMount(this.#zfs, this.#layout.rootfsOf(id), failure);
  }

  async remove(id: string): Promise<void> {
    await this.#run(() => this.#locks.run(id, () => this.#rootfs.remove(id)));
  }

  async list(): Promise<string[]> {
    await this.#load();
    return this.#rootfs.list();
  }

  async usage(id: string): Promise<Usage | undefined> {
    await this.#load();
    return this.#rootfs.usage(id);
  }

  async changes(id: string, signal?: AbortSignal): Promise<RootfsChanges> {
    if (this.#backing.store === 'zvol')
      throw failedPrecondition(`the store ${this.name} cannot list changes: its root filesystems are volumes`);
    await this.#load();
    return runLocked(this.#locks, id, signal, async () => {
      const { dataset, chainId } = await this.#rootfs.locate(id);
      const image = chainId === undefined ? undefined : this.#layers.index.originOf(chainId).snapshot;
      return datasetChanges(this.#zfs, { dataset, image, directory: this.#work }, signal);
    });
  }

  fsUsage(): Promise<Usage & { mountpoint: string }> {
    return this.#run(async () => {
      // An export unmounts it.
      await this.#mountFilesystem();
      const [entry] = await this.#zfs.get([this.#layout.layers], ['used']);
      const inodes = this.#layers.index.list().reduce((sum, layer) => sum + layer.inodes, 0n);
      return { bytes: (entry && numberOf(entry, 'used')) ?? 0n, inodes, mountpoint: this.#filesystem };
    });
  }

  async space(): Promise<StoreSpace> {
    const [pool] = await this.#zfs.get([poolOf(this.#layout.layers)], ['used', 'available']);
    const [used, free] = [pool && numberOf(pool, 'used'), pool && numberOf(pool, 'available')];
    if (used === undefined || free === undefined)
      throw new Error(`the pool of ${this.name} has no figures of its space`);
    return { used, free };
  }

  async recover(): Promise<void> {
    await removeMountPoints(this.#work);
    await this.#load();
    await this.#layers.recover();
    for (const snapshot of await this.#rootfs.snapshots('view')) await destroyView(this.#zfs, snapshot);
    await this.#rootfs.sweep();
    await this.volumes.sweep();
  }

  async erase(): Promise<string[]> {
    await this.#load();
    // Whoever still asks for its usage must not make it again.
    this.#isErased = true;
    let left: string[] | undefined;
    try {
      await unmountBelow(this.#mounts);
      const guests = (await this.#guests?.list([])) ?? [];
      left = [...(await this.#layout.remove(this.#zfs)), ...guests.map(({ name }) => `dataset ${name}`)];
      if (left.length === 0) await removeStoreDirectory(this.#mounts);
      return left;
    } finally {
      this.#loaded = undefined;
      this.volumes.reset();
      this.#isErased = left?.length === 0;
    }
  }

  /** Runs a task on the loaded store. Where it misses a dataset because the store's own are missing, the error says so. */
  async #run<T>(task: () => Promise<T>): Promise<T> {
    await this.#load();
    try {
      return await task();
    } catch (error) {
      if (isKind(error, 'notFound')) await this.#layout.needPresent(this.#zfs);
      throw error;
    }
  }

  /** Mount points of layers that are written, and of root filesystems that are read. */
  get #work(): string {
    return join(this.#mounts, 'work');
  }

  /** Where the dataset of the layers is mounted, so that its free space can be read; nothing is in it. */
  get #filesystem(): string {
    return join(this.#mounts, 'pool');
  }

  async #mountFilesystem(): Promise<void> {
    await mkdir(this.#filesystem, { recursive: true, mode: 0o700 });
    await mountDataset(this.#zfs, this.#layout.layers, this.#filesystem);
  }

  async #load(): Promise<void> {
    if (this.#isErased) throw failedPrecondition(`the store ${this.name} was erased`);
    const load = async () => {
      await this.#layout.make(this.#zfs, this.#backing);
      await applyProperties(this.#zfs, [this.#layout.layers, this.#layout.rootfs], this.#properties);
      await this.#layers.load();
      await this.#guests?.load();
      await this.#mountFilesystem();
    };
    this.#loaded ??= load().catch((error: unknown) => {
      this.#loaded = undefined;
      throw error;
    });
    return this.#loaded;
  }
}
