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
import { type Entry, numberOf, ownValueOf, valueOf } from '../answers/properties.ts';
import type { Backing, Origin } from '../backing/backing.ts';
import { isKind } from '../errors/zfs-error.ts';
import { datasetOf } from '../names.ts';
import type { Settings, Zfs } from '../zfs.ts';
import { COMPLETE, foreign, type Kind, type Layout, noLayer, PROPERTY } from './layout.ts';

/** A complete layer. */
export interface Layer extends Usage {
  chainId: string;
  parent: string | undefined;
}

/** A layer as it is sent. */
export interface Sent {
  snapshot: string;
  guid: bigint;
  layer: { chainId: string; diffId: string } & Usage;
}

export interface LayerDatasetsOptions {
  zfs: Zfs;
  layout: Layout;
  backing: Backing;
  /** Directory where a layer is mounted while it is written. */
  mounts: string;
  limits: LayerLimits & TarLimits;
  logger: Logger;
}

const READ = ['referenced', 'volsize', PROPERTY.kind, PROPERTY.chain, PROPERTY.parent, PROPERTY.bytes, PROPERTY.inodes];
/** Of the root directory of an image whose layers do not have it. */
const ROOT = { mode: 0o755, uid: 0, gid: 0, mtime: '0' };

/** What of a snapshot those need that are clones of it. */
type Stored = Omit<Origin, 'snapshot' | 'bytes'>;

/**
 * Layers: each a dataset that is a clone of its parent's snapshot, the lowest of an empty one's, the base. It is complete when
 * it has its own snapshot, which has the properties of the layer; that is made in one step.
 */
export class LayerDatasets {
  readonly #options: LayerDatasetsOptions;
  readonly #layers = new Map<string, Layer & Stored>();
  #base: Stored | undefined;
  readonly #workers = new LayerWorkers();
  #receiving = 0;
  #hasCopies = true;

  constructor(options: LayerDatasetsOptions) {
    this.#options = options;
  }

  /** Reads the layers of the pool, and makes their base. Those that are not complete, and datasets of others, are left alone. */
  async load(): Promise<void> {
    this.#layers.clear();
    const entries = await this.#read();
    for (const entry of entries) {
      const layer = layerFrom(entry);
      if (layer !== undefined) this.#layers.set(layer.chainId, { ...layer, ...this.#stored(entry) });
    }
    const isBase = (entry: Entry) => ownValueOf(entry, PROPERTY.kind) === ('base' satisfies Kind);
    const base = entries.find((entry) => entry.name === `${this.#baseName}@${COMPLETE}` && isBase(entry));
    this.#base = base === undefined ? await this.#makeBase() : this.#stored(base);
  }

  /** Destroys what a killed server has not completed. A failure for one is logged. */
  async recover(): Promise<void> {
    const { zfs, layout, logger } = this.#options;
    const entries = await this.#read();
    const complete = new Set(entries.filter((entry) => layerFrom(entry)).map(({ name }) => datasetOf(name)));
    for (const entry of entries) {
      const kind = ownValueOf(entry, PROPERTY.kind);
      if (entry.name.includes('@') || entry.name === layout.layers || complete.has(entry.name)) continue;
      if (kind === ('base' satisfies Kind) || kind === ('removed' satisfies Kind)) continue;
      if (kind !== ('layer' satisfies Kind)) {
        logger.warn('Foreign dataset among the layers left alone', { dataset: entry.name });
        continue;
      }
      await zfs.destroy(entry.name, { recursive: true }).catch((error: unknown) => {
        logger.error('Destroying an incomplete layer failed', { dataset: entry.name, error: messageOf(error) });
      });
    }
    await this.sweep();
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

  /** That of which root filesystems and layers are clones; undefined: of no layer. @throws CriError NOT_FOUND. */
  originOf(chainId: string | undefined): Origin {
    const stored = chainId === undefined ? this.#base : this.#layers.get(chainId);
    if (stored === undefined) throw noLayer(chainId ?? 'base');
    const name = chainId === undefined ? this.#baseName : this.#options.layout.layer(chainId);
    const { objects, referenced, volumeBytes } = stored;
    return { snapshot: `${name}@${COMPLETE}`, bytes: this.#usage(chainId).bytes, objects, referenced, volumeBytes };
  }

  /** The snapshot of a layer's dataset when it is complete. */
  completeOf(dataset: string): string {
    return `${dataset}@${COMPLETE}`;
  }

  /**
   * The layers of an image, the lowest first, each with the snapshot that the next one is a clone of: that of the layer itself, or
   * of a copy of it that was received. @throws CriError NOT_FOUND.
   */
  async lineage(top: string | undefined): Promise<Sent[]> {
    const { zfs, layout } = this.#options;
    if (top === undefined) return [];
    const entries = await zfs.list(layout.layers, ['origin', 'guid', PROPERTY.diff], {
      types: ['filesystem', 'snapshot'],
    });
    const byName = new Map(entries.map((entry) => [entry.name, entry]));
    const lineage: Sent[] = [];
    let snapshot = this.originOf(top).snapshot;
    for (let chainId: string | undefined = top; chainId !== undefined;) {
      const layer = this.#layers.get(chainId);
      const [own, sent] = [this.originOf(chainId).snapshot, snapshot].map((name) => byName.get(name));
      const diffId = own && ownValueOf(own, PROPERTY.diff);
      const guid = sent && numberOf(sent, 'guid');
      if (layer === undefined || diffId === undefined || guid === undefined) throw noLayer(chainId);
      const { bytes, inodes, parent } = layer;
      lineage.unshift({ snapshot, guid, layer: { chainId, diffId, bytes, inodes } });
      const dataset = byName.get(datasetOf(snapshot));
      snapshot = (dataset && valueOf(dataset, 'origin')) ?? '';
      chainId = parent;
    }
    return lineage;
  }

  /** The snapshots that streams can continue, those of copies among them. */
  async snapshotsByGuid(): Promise<Map<bigint, string>> {
    const { zfs, layout } = this.#options;
    const entries = await zfs.list(layout.layers, ['guid'], { types: ['snapshot'] });
    const complete = entries.filter(({ name }) => name.endsWith(`@${COMPLETE}`));
    return new Map(complete.flatMap((entry) => [[numberOf(entry, 'guid') ?? 0n, entry.name] as const]));
  }

  /** Makes a dataset with the snapshot of a complete layer that layer: its properties are set last, in one step. */
  async adopt(dataset: string, facts: Omit<LayerApply, 'blob' | 'signal'> & Usage): Promise<void> {
    const { zfs, layout } = this.#options;
    const name = layout.layer(facts.chainId);
    await zfs.rename(dataset, name);
    const snapshot = this.completeOf(name);
    await zfs.set(snapshot, settingsOf(facts));
    const entry = await this.#readSnapshot(name);
    const layer = layerFrom(entry);
    if (layer === undefined) throw new Error(`the snapshot ${snapshot} is not that of a layer`);
    this.#layers.set(layer.chainId, { ...layer, ...this.#stored(entry) });
  }

  /** Runs a task that makes copies of layers, which {@link sweep} spares meanwhile. */
  async receiving<T>(task: () => Promise<T>): Promise<T> {
    this.#receiving += 1;
    try {
      return await task();
    } finally {
      this.#receiving -= 1;
      this.#hasCopies = true;
      await this.sweep();
    }
  }

  /** Destroys copies of layers that no clone needs any more. */
  async sweep(): Promise<void> {
    const { zfs, layout } = this.#options;
    if (this.#receiving > 0 || !this.#hasCopies) return;
    const entries = await zfs.list(layout.layers, [PROPERTY.kind], { depth: 1 });
    const copies = entries.filter((entry) => ownValueOf(entry, PROPERTY.kind) === ('removed' satisfies Kind));
    this.#hasCopies = copies.length > 0;
    // A copy can be destroyed only after the one that continues it: repeat while there is progress.
    for (let left = copies, before = Infinity; left.length > 0 && left.length < before;) {
      before = left.length;
      const gone = await Promise.all(left.map(({ name }) => this.#destroyUnused(name)));
      left = left.filter((_, index) => gone[index] !== true);
    }
  }

  async #destroyUnused(name: string): Promise<boolean> {
    try {
      await this.#options.zfs.destroy(name, { recursive: true, repeats: 0 });
      return true;
    } catch (error) {
      if (isKind(error, 'inUse', 'busy')) return false;
      if (isKind(error, 'notFound')) return true;
      throw error;
    }
  }

  /** Writes a layer; nothing of it is left when that fails. The caller runs one call at a time for each chain id. */
  async apply(request: LayerApply): Promise<Layer> {
    const { zfs, layout, backing } = this.#options;
    const name = layout.layer(request.chainId);
    const origin = this.originOf(request.parent);
    await this.#afresh(name, 'layer', (settings) =>
      zfs.clone(origin.snapshot, name, { settings: { ...settings, ...backing.writable(origin) } }),
    );
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

  get #baseName(): string {
    return `${this.#options.layout.layers}/${this.#options.backing.base}`;
  }

  async #makeBase(): Promise<Stored> {
    const { zfs, backing } = this.#options;
    const name = this.#baseName;
    await this.#afresh(name, 'base', (settings) => backing.create(name, settings));
    const settings = await this.#mounted(name, async (target) => {
      await setFacts(target, ROOT);
      return backing.flush(name, target);
    });
    await zfs.snapshot([`${name}@${COMPLETE}`], { settings: { ...settings, [PROPERTY.kind]: 'base' satisfies Kind } });
    await backing.seal(name);
    return this.#stored(await this.#readSnapshot(name));
  }

  /** Has `make` create a dataset, in the place of one of a killed server, or of a call whose rollback failed. */
  async #afresh(name: string, kind: Kind, make: (settings: Settings) => Promise<void>): Promise<void> {
    const { zfs } = this.#options;
    const settings: Settings = { [PROPERTY.kind]: kind };
    try {
      await make(settings);
    } catch (error) {
      if (!isKind(error, 'alreadyExists')) throw error;
      const [entry] = await zfs.get([name], [PROPERTY.kind]);
      if (entry === undefined || ownValueOf(entry, PROPERTY.kind) !== kind) throw foreign(name);
      await zfs.destroy(name, { recursive: true });
      await make(settings);
    }
  }

  async #write(name: string, request: LayerApply): Promise<Layer & Stored> {
    const { zfs, backing } = this.#options;
    const { diffId, signal } = request;
    try {
      const settings = await this.#mounted(name, (target) => this.#unpack(name, target, request), signal);
      await zfs.snapshot([`${name}@${COMPLETE}`], { settings });
      await backing.seal(name);
      const entry = await this.#readSnapshot(name);
      const layer = layerFrom(entry);
      if (layer === undefined) throw new Error(`${entry.name} is not the snapshot that was made`);
      return { ...layer, ...this.#stored(entry) };
    } catch (error) {
      signal?.throwIfAborted();
      const explained = await backing.explain(name, error);
      if (!(explained instanceof CriError)) throw explained;
      throw new CriError(explained.code, `layer ${diffId}: ${explained.message}`, { cause: explained });
    }
  }

  /** Returns the properties of the layer's snapshot. */
  async #unpack(
    name: string,
    target: string,
    { parent, diffId, chainId, blob, signal }: LayerApply,
  ): Promise<Settings> {
    const { backing, limits } = this.#options;
    // Nobody can guess it: no entry of the layer is written to it, or hidden by it.
    const stage = join(target, `.${randomUUID()}`);
    const below = await describeDirectory([target], '');
    await mkdir(stage, { mode: 0o755 });
    // The root that the layer may inherit is that of the layers below, without the new directory in it.
    await setFacts(target, below ?? ROOT);
    const task = {
      blob,
      diffId,
      directory: stage,
      onto: target,
      below: [target],
      usageBelow: this.#usage(parent),
      limits,
    };
    const { usage } = await this.#workers.run(task, signal);
    return { ...settingsOf({ chainId, parent, diffId, ...usage }), ...(await backing.flush(name, target)) };
  }

  /** What `work` returns, which is given the directory where a dataset is mounted for as long. */
  async #mounted<T>(name: string, work: (target: string) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const target = join(this.#options.mounts, randomUUID());
    await mkdir(target, { recursive: true, mode: 0o700 });
    try {
      await this.#options.backing.mount(name, target, signal);
      return await work(target);
    } finally {
      await unmount(target).catch(() => undefined);
      await rmdir(target).catch(() => undefined);
    }
  }

  /** What the files of a layer and of those below use. @throws CriError NOT_FOUND. */
  #usage(top: string | undefined): Usage {
    let usage: Usage = { bytes: 0n, inodes: 0n };
    for (let id = top; id !== undefined;) {
      const layer = this.#layers.get(id);
      if (layer === undefined) throw noLayer(id);
      usage = { bytes: usage.bytes + layer.bytes, inodes: usage.inodes + layer.inodes };
      id = layer.parent;
    }
    return usage;
  }

  #stored(snapshot: Entry): Stored {
    return {
      objects: numberOf(snapshot, this.#options.backing.objects) ?? 0n,
      referenced: numberOf(snapshot, 'referenced') ?? 0n,
      volumeBytes: numberOf(snapshot, 'volsize'),
    };
  }

  async #readSnapshot(dataset: string): Promise<Entry> {
    const [entry] = await this.#options.zfs.get([`${dataset}@${COMPLETE}`], this.#properties);
    if (entry === undefined) throw new Error(`zfs get printed nothing about ${dataset}@${COMPLETE}`);
    return entry;
  }

  get #properties(): string[] {
    return [...READ, this.#options.backing.objects];
  }

  #read(): Promise<Entry[]> {
    const { zfs, layout } = this.#options;
    return zfs.list(layout.layers, this.#properties, { types: ['filesystem', 'volume', 'snapshot'] });
  }
}

function settingsOf({ chainId, parent, diffId, bytes, inodes }: Omit<LayerApply, 'blob' | 'signal'> & Usage): Settings {
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
  return { chainId, parent, bytes, inodes };
}
