import { CriError, failedPrecondition } from '../../../core/model/errors.ts';
import type { Logger } from '../../../core/model/logger.ts';
import type { LayerApply } from '../../../core/model/rootfs.ts';
import { messageOf } from '../../../utils/errors.ts';
import { type Entry, numberOf, ownValueOf } from '../answers/properties.ts';
import { isKind } from '../errors/zfs-error.ts';
import { datasetOf } from '../names.ts';
import { completeOf, foreign, type Kind, type Layout, PROPERTY } from '../store/layout.ts';
import type { Settings, Zfs } from '../zfs.ts';
import { LayerCopies } from './layer-copies.ts';
import { LayerIndex } from './layer-index.ts';
import {
  type Cloned,
  clonedFrom,
  type Layer,
  type LayerFacts,
  layerFrom,
  layerProperties,
  layerSettings,
} from './layer-snapshot.ts';
import { LayerWriter, type LayerWriterOptions } from './layer-writer.ts';

export interface LayerDatasetsOptions extends LayerWriterOptions {
  zfs: Zfs;
  layout: Layout;
  logger: Logger;
}

/**
 * Layers: each a dataset that is a clone of its parent's snapshot, the lowest of an empty one's, the base. It is complete when
 * it has its own snapshot, which has the properties of the layer; that is made in one step.
 */
export class LayerDatasets {
  readonly index: LayerIndex;
  readonly copies: LayerCopies;
  readonly #options: LayerDatasetsOptions;
  readonly #writer: LayerWriter;

  constructor(options: LayerDatasetsOptions) {
    this.#options = options;
    this.#writer = new LayerWriter(options);
    this.index = new LayerIndex(options.layout, options.backing);
    this.copies = new LayerCopies(options);
  }

  /** Reads the layers of the pool, and makes their base. Those that are not complete, and datasets of others, are left alone. */
  async load(): Promise<void> {
    const { backing } = this.#options;
    const entries = await this.#read();
    const isBase = (entry: Entry) => ownValueOf(entry, PROPERTY.kind) === ('base' satisfies Kind);
    const base = entries.find((entry) => entry.name === completeOf(this.index.base) && isBase(entry));
    this.index.replace(
      entries.flatMap((entry) => layerFrom(entry, backing) ?? []),
      base === undefined ? await this.#makeBase() : clonedFrom(base, backing),
    );
  }

  /** Destroys what a killed server has not completed. A failure for one is logged. */
  async recover(): Promise<void> {
    const { layout, backing, logger } = this.#options;
    const entries = await this.#read();
    const complete = new Set(entries.filter((entry) => layerFrom(entry, backing)).map(({ name }) => datasetOf(name)));
    for (const entry of entries) {
      const kind = ownValueOf(entry, PROPERTY.kind);
      if (entry.name.includes('@') || entry.name === layout.layers || complete.has(entry.name)) continue;
      if (kind === ('base' satisfies Kind) || kind === ('removed' satisfies Kind)) continue;
      if (kind === ('layer' satisfies Kind)) await this.#destroyIncomplete(entry.name);
      else logger.warn('Foreign dataset among the layers left alone', { dataset: entry.name });
    }
    await this.copies.sweep();
  }

  /** What the removal of each layer frees: a block counts in the layer that has written it. */
  async bytes(): Promise<Map<string, bigint>> {
    const { zfs, layout } = this.#options;
    const used = new Map<string, bigint>();
    for (const entry of await zfs.list(layout.layers, ['used'], { depth: 1 })) {
      used.set(entry.name, numberOf(entry, 'used') ?? 0n);
    }
    return new Map(this.index.list().map(({ chainId }) => [chainId, used.get(layout.layer(chainId)) ?? 0n]));
  }

  /** Writes a layer; nothing of it is left when that fails. The caller runs one call at a time for each chain id. */
  async apply(request: LayerApply): Promise<Layer> {
    const { zfs, layout, backing } = this.#options;
    const name = layout.layer(request.chainId);
    const origin = this.index.originOf(request.parent);
    await this.#afresh(name, 'layer', (settings) =>
      zfs.clone(origin.snapshot, name, { settings: { ...settings, ...backing.writable(origin) } }),
    );
    try {
      const layer = await this.#write(name, request);
      this.index.add(layer);
      return layer;
    } catch (error) {
      await this.#destroyIncomplete(name);
      throw error;
    }
  }

  /**
   * Makes a dataset with the snapshot of a complete layer that layer: its properties are set last, in one step. Nothing is left of it
   * under the name of the layer when that fails. The caller runs one call at a time for each chain id.
   */
  async adopt(dataset: string, facts: LayerFacts): Promise<void> {
    const { zfs, layout } = this.#options;
    const name = layout.layer(facts.chainId);
    await this.#afresh(name, 'layer', () => zfs.rename(dataset, name));
    try {
      await zfs.set(completeOf(name), layerSettings(facts));
      this.index.add(await this.#readLayer(name));
    } catch (error) {
      await this.#destroyIncomplete(name);
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
    this.index.remove(chainId);
  }

  async #makeBase(): Promise<Cloned> {
    const { zfs, backing } = this.#options;
    const name = this.index.base;
    await this.#afresh(name, 'base', (settings) => backing.create(name, settings));
    const settings = await this.#writer.writeBase(name);
    await zfs.snapshot([completeOf(name)], { settings: { ...settings, [PROPERTY.kind]: 'base' satisfies Kind } });
    await backing.seal(name);
    return clonedFrom(await this.#readSnapshot(name), backing);
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

  async #write(name: string, request: LayerApply): Promise<Layer> {
    const { zfs, backing } = this.#options;
    const { parent, diffId, signal } = request;
    try {
      const settings = await this.#writer.write(name, request, this.index.usage(parent));
      await zfs.snapshot([completeOf(name)], { settings });
      await backing.seal(name);
      return await this.#readLayer(name);
    } catch (error) {
      signal?.throwIfAborted();
      const explained = await backing.explain(name, error);
      if (!(explained instanceof CriError)) throw explained;
      throw new CriError(explained.code, `layer ${diffId}: ${explained.message}`, { cause: explained });
    }
  }

  /** A failure is logged: the next start repeats it. */
  async #destroyIncomplete(dataset: string): Promise<void> {
    const { zfs, logger } = this.#options;
    await zfs.destroy(dataset, { recursive: true }).catch((error: unknown) => {
      logger.error('Destroying an incomplete layer failed', { dataset, error: messageOf(error) });
    });
  }

  async #readLayer(dataset: string): Promise<Layer> {
    const entry = await this.#readSnapshot(dataset);
    const layer = layerFrom(entry, this.#options.backing);
    if (layer === undefined) throw new Error(`the snapshot ${entry.name} is not that of a layer`);
    return layer;
  }

  async #readSnapshot(dataset: string): Promise<Entry> {
    const { zfs, backing } = this.#options;
    const name = completeOf(dataset);
    const [entry] = await zfs.get([name], layerProperties(backing));
    if (entry === undefined) throw new Error(`zfs get printed nothing about ${name}`);
    return entry;
  }

  #read(): Promise<Entry[]> {
    const { zfs, layout, backing } = this.#options;
    return zfs.list(layout.layers, layerProperties(backing), { types: ['filesystem', 'volume', 'snapshot'] });
  }
}
