import { randomUUID } from 'node:crypto';
import { mkdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CriError, failedPrecondition } from '../../../core/model/errors.ts';
import type { Logger } from '../../../core/model/logger.ts';
import type { LayerApply, Usage } from '../../../core/model/rootfs.ts';
import { describeDirectory, setFacts } from '../../../host/layers/directory-facts.ts';
import type { TarLimits } from '../../../host/layers/extract.ts';
import type { LayerLimits } from '../../../host/layers/layer-filter.ts';
import { LayerWorkers } from '../../../host/layers/layer-workers.ts';
import { unmount } from '../../../host/mounts/mount.ts';
import { messageOf } from '../../../utils/errors.ts';
import { type Entry, numberOf, ownValueOf } from '../answers/properties.ts';
import { isKind } from '../errors/zfs-error.ts';
import { datasetOf } from '../names.ts';
import type { Settings, Zfs } from '../zfs.ts';
import { COMPLETE, foreign, type Kind, type Layout, noLayer, OBJECTS, PROPERTY } from './layout.ts';
import { mountDataset } from './mount-dataset.ts';

/** A complete layer. */
export interface Layer extends Usage {
  chainId: string;
  parent: string | undefined;
  /** Files of the dataset, those of its parents among them; 0 where the pool does not count them. */
  objects: bigint;
  /** Bytes of the dataset on disk, those of its parents among them. */
  referenced: bigint;
}

export interface LayerDatasetsOptions {
  zfs: Zfs;
  layout: Layout;
  /** Directory where a layer is mounted while it is written. */
  mounts: string;
  limits: LayerLimits & TarLimits;
  logger: Logger;
}

const READ = ['referenced', PROPERTY.kind, PROPERTY.chain, PROPERTY.parent, PROPERTY.bytes, PROPERTY.inodes, OBJECTS];

/**
 * Layers: each a dataset that is a clone of its parent's snapshot. It is complete when it has its own snapshot, which has the
 * properties of the layer; that is made in one step.
 */
export class LayerDatasets {
  readonly #options: LayerDatasetsOptions;
  readonly #layers = new Map<string, Layer>();
  readonly #workers = new LayerWorkers();

  constructor(options: LayerDatasetsOptions) {
    this.#options = options;
  }

  /** Reads the layers of the pool. Those that are not complete, and datasets of others, are left alone. */
  async load(): Promise<void> {
    this.#layers.clear();
    for (const entry of await this.#read()) {
      const layer = layerFrom(entry);
      if (layer !== undefined) this.#layers.set(layer.chainId, layer);
    }
  }

  /** Destroys what a killed server has not completed. A failure for one is logged. */
  async recover(): Promise<void> {
    const { zfs, layout, logger } = this.#options;
    const entries = await this.#read();
    const complete = new Set(entries.filter((entry) => layerFrom(entry)).map(({ name }) => datasetOf(name)));
    for (const entry of entries) {
      if (entry.name.includes('@') || entry.name === layout.layers || complete.has(entry.name)) continue;
      if (ownValueOf(entry, PROPERTY.kind) !== ('layer' satisfies Kind)) {
        logger.warn('Foreign dataset among the layers left alone', { dataset: entry.name });
        continue;
      }
      await zfs.destroy(entry.name, { recursive: true }).catch((error: unknown) => {
        logger.error('Destroying an incomplete layer failed', { dataset: entry.name, error: messageOf(error) });
      });
    }
  }

  get(chainId: string): Layer | undefined {
    return this.#layers.get(chainId);
  }

  list(): Layer[] {
    return [...this.#layers.values()];
  }

  /** What the removal of each layer frees: a block counts in the layer that has written it. */
  async bytes(): Promise<Map<string, bigint>> {
    const { zfs, layout } = this.#options;
    const used = new Map<string, bigint>();
    for (const entry of await zfs.list(layout.layers, ['used'], { depth: 1 })) {
      used.set(entry.name, numberOf(entry, 'used') ?? 0n);
    }
    return new Map(this.list().map(({ chainId }) => [chainId, used.get(layout.layer(chainId)) ?? 0n]));
  }

  /** The snapshot of which root filesystems and layers are clones. @throws CriError NOT_FOUND. */
  snapshotOf(chainId: string): string {
    if (!this.#layers.has(chainId)) throw noLayer(chainId);
    return `${this.#options.layout.layer(chainId)}@${COMPLETE}`;
  }

  /** Writes a layer; nothing of it is left when that fails. The caller runs one call at a time for each chain id. */
  async apply(request: LayerApply): Promise<Layer> {
    const { zfs, layout } = this.#options;
    const name = layout.layer(request.chainId);
    await this.#create(name, request.parent);
    try {
      const layer = await this.#write(name, request);
      this.#layers.set(layer.chainId, layer);
      return layer;
    } catch (error) {
      await zfs.destroy(name, { recursive: true }).catch((failure: unknown) => {
        this.#options.logger.error('Destroying an incomplete layer failed', {
          dataset: name,
          error: messageOf(failure),
        });
      });
      throw error;
    }
  }

  /** @throws CriError FAILED_PRECONDITION while it has clones. */
  async remove(chainId: string): Promise<void> {
    const { zfs, layout } = this.#options;
    try {
      await zfs.destroy(layout.layer(chainId), { recursive: true });
    } catch (error) {
      if (isKind(error, 'inUse'))
        throw failedPrecondition(`layer ${chainId} is in use by another layer or a container`, error);
      if (!isKind(error, 'notFound')) throw error;
    }
    this.#layers.delete(chainId);
  }

  async #create(name: string, parent: string | undefined, isRepeated = false): Promise<void> {
    const { zfs } = this.#options;
    const settings: Settings = { [PROPERTY.kind]: 'layer' satisfies Kind };
    try {
      if (parent === undefined) await zfs.createFilesystem(name, { settings });
      else await zfs.clone(this.snapshotOf(parent), name, { settings });
    } catch (error) {
      if (!isKind(error, 'alreadyExists') || isRepeated) throw error;
      const [entry] = await zfs.get([name], [PROPERTY.kind]);
      if (entry === undefined || ownValueOf(entry, PROPERTY.kind) !== 'layer') throw foreign(name);
      // Of a call whose rollback failed.
      await zfs.destroy(name, { recursive: true });
      await this.#create(name, parent, true);
    }
  }

  async #write(name: string, { parent, diffId, chainId, blob, signal }: LayerApply): Promise<Layer> {
    const { zfs, limits } = this.#options;
    const target = join(this.#options.mounts, randomUUID());
    // Nobody can guess it: no entry of the layer is written to it, or hidden by it.
    const stage = join(target, `.${randomUUID()}`);
    await mkdir(target, { recursive: true, mode: 0o700 });
    try {
      await mountDataset(zfs, name, target, signal);
      const below = parent === undefined ? undefined : await describeDirectory([target], '');
      await mkdir(stage, { mode: 0o755 });
      // The root that the layer may inherit is that of the layers below, without the new directory in it.
      await setFacts(target, below ?? { mode: 0o755, uid: 0, gid: 0, mtime: '0' });
      const usageBelow = this.#chain(parent).reduce(sum, { bytes: 0n, inodes: 0n });
      const task = { blob, diffId, directory: stage, onto: target, below: [target], usageBelow, limits };
      const { usage } = await this.#workers.run(task, signal);
      const snapshot = `${name}@${COMPLETE}`;
      await zfs.snapshot([snapshot], { settings: settingsOf({ chainId, parent, diffId, ...usage }) });
      const [entry] = await zfs.get([snapshot], READ);
      const layer = entry && layerFrom(entry);
      if (layer === undefined) throw new Error(`the snapshot ${snapshot} is not the one that was made`);
      return layer;
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof CriError)) throw error;
      throw new CriError(error.code, `layer ${diffId}: ${error.message}`, { cause: error });
    } finally {
      await unmount(target).catch(() => undefined);
      await rmdir(target).catch(() => undefined);
    }
  }

  #chain(top: string | undefined): Layer[] {
    const chain: Layer[] = [];
    for (let id = top; id !== undefined;) {
      const layer = this.#layers.get(id);
      if (layer === undefined) throw noLayer(id);
      chain.push(layer);
      id = layer.parent;
    }
    return chain;
  }

  #read(): Promise<Entry[]> {
    const { zfs, layout } = this.#options;
    return zfs.list(layout.layers, READ, { types: ['filesystem', 'snapshot'] });
  }
}

function settingsOf({ chainId, parent, diffId, bytes, inodes }: Omit<LayerApply, 'blob'> & Usage): Settings {
  return {
    [PROPERTY.kind]: 'layer' satisfies Kind,
    [PROPERTY.chain]: chainId,
    ...(parent !== undefined && { [PROPERTY.parent]: parent }),
    [PROPERTY.diff]: diffId,
    [PROPERTY.bytes]: String(bytes),
    [PROPERTY.inodes]: String(inodes),
  };
}

/** The layer whose snapshot this is; undefined for everything else. */
function layerFrom(entry: Entry): Layer | undefined {
  const chainId = ownValueOf(entry, PROPERTY.chain);
  const hex = /^sha256:([0-9a-f]{64})$/.exec(chainId ?? '')?.[1];
  const [bytes, inodes] = [numberOf(entry, PROPERTY.bytes), numberOf(entry, PROPERTY.inodes)];
  if (chainId === undefined || hex === undefined || bytes === undefined || inodes === undefined) return undefined;
  if (!entry.name.endsWith(`/${hex}@${COMPLETE}`)) return undefined;
  const parent = ownValueOf(entry, PROPERTY.parent);
  const [objects = 0n, referenced = 0n] = [numberOf(entry, OBJECTS), numberOf(entry, 'referenced')];
  return { chainId, parent, bytes, inodes, objects, referenced };
}

function sum(a: Usage, b: Usage): Usage {
  return { bytes: a.bytes + b.bytes, inodes: a.inodes + b.inodes };
}
