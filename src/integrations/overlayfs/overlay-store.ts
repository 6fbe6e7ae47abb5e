import { mkdir, mkdtemp, readdir, rename, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { CriError, failedPrecondition } from '../../core/model/errors.ts';
import { messageOf } from '../../utils/errors.ts';
import type { Logger } from '../../core/model/logger.ts';
import type {
  LayerApply,
  Remains,
  Rootfs,
  RootfsOptions,
  RootfsStore,
  StoredLayer,
  StoreSpace,
  Usage,
} from '../../core/model/rootfs.ts';
import type { RootfsChanges } from '../../core/model/rootfs-changes.ts';
import { syncDirectory, writeFileAtomic } from '../../utils/fs/atomic.ts';
import { Trash } from '../../host/trees/trash.ts';
import { toJson } from '../../utils/json.ts';
import { runLocked } from '../../utils/async/abortable.ts';
import { KeyedLock } from '../../utils/async/keyed-lock.ts';
import { run } from '../../host/processes/run.ts';
import { MAX_LAYERS } from '../../host/layers/bounds.ts';
import type { TarLimits } from '../../host/layers/extract.ts';
import type { LayerLimits } from '../../host/layers/layer-filter.ts';
import { LAYER_LIMITS } from '../../host/layers/limits.ts';
import { type Layer, LayerIndex } from './layer-index.ts';
import { LayerWorkers } from '../../host/layers/layer-workers.ts';
import { mountPair, removeMountPoints } from '../../host/trees/tree-pair.ts';
import { WritableCopies } from './writable-copies.ts';

export interface OverlayStoreOptions {
  /**
   * Directory of the store, on a filesystem that supports overlayfs' upper directories (ext4, xfs). Created when
   * missing.
   */
  root: string;
  logger: Logger;
  /** Limits of one layer; the defaults are in `bounds.ts`. */
  limits?: Partial<LayerLimits & TarLimits>;
}

/** The rootfs store on overlayfs: one directory per layer, and one upper directory per root filesystem. */
export class OverlayStore implements RootfsStore {
  readonly name = 'overlayfs';
  readonly maxLayers = MAX_LAYERS;
  readonly enforcesLimits = false;
  readonly #root: string;
  readonly #limits: LayerLimits & TarLimits;
  readonly #layers: LayerIndex;
  readonly #copies: WritableCopies;
  readonly #workers = new LayerWorkers();
  readonly #trash: Trash;
  readonly #logger: Logger;
  /** One key per layer being applied; the key "layers" for changes of their dependencies. */
  readonly #locks = new KeyedLock();
  #loaded: Promise<void> | undefined;

  constructor({ root, logger, limits }: OverlayStoreOptions) {
    this.#root = root;
    this.#limits = { ...LAYER_LIMITS, ...limits };
    this.#logger = logger;
    this.#trash = new Trash(join(root, 'removed'), (error) => {
      logger.error('Removing files of a removed layer or root filesystem failed', { error: messageOf(error) });
    });
    this.#layers = new LayerIndex(root, this.#trash, logger);
    this.#copies = new WritableCopies(root, { layers: this.#layers, trash: this.#trash, logger });
  }

  async hasLayer(chainId: string): Promise<boolean> {
    await this.#load();
    return this.#layers.get(chainId) !== undefined;
  }

  async applyLayer(request: LayerApply): Promise<Usage> {
    await this.#load();
    return this.#locks.run(request.chainId, async () => {
      const present = this.#layers.get(request.chainId);
      if (present) return usageOf(present);
      const chain = this.#layers.chain(request.parent);
      await mkdir(this.#temporary, { recursive: true, mode: 0o700 });
      const directory = await mkdtemp(join(this.#temporary, 'layer-'));
      try {
        const layer = await this.#extract(request, directory, chain);
        await this.#publish(layer, directory);
        return usageOf(layer);
      } catch (error) {
        await this.#trash.discard(directory);
        throw error;
      }
    });
  }

  async listLayers(): Promise<string[]> {
    await this.#load();
    return this.#layers.list().map((layer) => layer.chainId);
  }

  async describeLayers(): Promise<StoredLayer[]> {
    await this.#load();
    return this.#locks.run('layers', async () => {
      const used = await this.#copies.used();
      const isUsed = ({ chainId }: Layer) => used === 'unknown' || used.has(chainId);
      return this.#layers
        .list()
        .map((layer) => ({ chainId: layer.chainId, parent: layer.parent, bytes: layer.bytes, isUsed: isUsed(layer) }));
    });
  }

  remains(): Promise<Remains[]> {
    return this.#trash.remains();
  }

  async removeLayer(chainId: string): Promise<void> {
    await this.#load();
    await this.#locks.run('layers', async () => {
      const layer = this.#layers.get(chainId);
      if (!layer) return;
      if (this.#layers.list().some(({ parent }) => parent === chainId)) {
        throw failedPrecondition(`layer ${chainId} is in use by another layer`);
      }
      const used = await this.#copies.used();
      if (used === 'unknown' || used.has(chainId))
        throw failedPrecondition(`layer ${chainId} is in use by a container`);
      // In one step: a partly removed layer must not look complete after a crash.
      await this.#trash.discard(this.#layers.directory(chainId));
      await this.#layers.remove(layer);
    });
  }

  async prepare(id: string, chainId: string | undefined, options: RootfsOptions = {}): Promise<Rootfs> {
    await this.#load();
    return runLocked(this.#locks, 'layers', options.signal, () => this.#copies.prepare(id, chainId, options));
  }

  async get(id: string): Promise<Rootfs | undefined> {
    await this.#load();
    return this.#copies.get(id);
  }

  async remove(id: string): Promise<void> {
    await this.#load();
    await this.#locks.run('layers', () => this.#copies.remove(id));
  }

  async list(): Promise<string[]> {
    return this.#copies.list();
  }

  async usage(id: string): Promise<Usage | undefined> {
    return this.#copies.usage(id);
  }

  async changes(id: string, signal?: AbortSignal): Promise<RootfsChanges> {
    await this.#load();
    // Only for the mounts: what is mounted stays, whatever is removed.
    return runLocked(this.#locks, 'layers', signal, async () => {
      const pair = await mountPair(this.#views, await this.#copies.views(id), signal);
      return { ...pair, isSnapshot: false };
    });
  }

  async fsUsage(): Promise<Usage & { mountpoint: string }> {
    await this.#load();
    return { ...add(this.#layers.list()), mountpoint: this.#root };
  }

  async space(): Promise<StoreSpace> {
    const { bsize, blocks, bfree, bavail } = await statfs(this.#root, { bigint: true });
    return { used: (blocks - bfree) * bsize, free: bavail * bsize };
  }

  async recover(): Promise<void> {
    await removeMountPoints(this.#views);
    await this.#clearTemporary();
    await this.#load();
    await this.#locks.run('layers', () => this.#copies.recover());
  }

  /** Resolves when the files of everything removed so far are gone from the disk. */
  emptied(): Promise<void> {
    return this.#trash.emptied();
  }

  /** A failed clean-up is harmless: it is logged, and retried at the next start. */
  async #clearTemporary(): Promise<void> {
    try {
      await mkdir(this.#temporary, { recursive: true, mode: 0o700 });
      for (const name of await readdir(this.#temporary)) await this.#trash.discard(join(this.#temporary, name));
    } catch (error) {
      this.#logger.error('Cleaning up leftovers of an earlier server failed', {
        directory: this.#temporary,
        error: messageOf(error),
      });
    }
    await this.#trash.sweep();
  }

  get #temporary(): string {
    return join(this.#root, 'tmp');
  }

  get #views(): string {
    return join(this.#root, 'views');
  }

  #load(): Promise<void> {
    const load = async () => {
      await this.#layers.load((await this.#copies.list()).length > 0);
    };
    this.#loaded ??= load().catch((error: unknown) => {
      this.#loaded = undefined;
      throw error;
    });
    return this.#loaded;
  }

  async #extract(request: LayerApply, directory: string, chain: readonly Layer[]): Promise<Layer> {
    const { parent, chainId, diffId, blob, signal } = request;
    const fs = join(directory, 'fs');
    await mkdir(fs, { mode: 0o755 });
    const below = this.#layers.directories(this.#layers.visible(parent));
    const task = { blob, diffId, directory: fs, below, usageBelow: add(chain), limits: this.#limits };
    const { usage, opaqueRoot } = await this.#workers.run(task, signal).catch((error: unknown) => {
      signal?.throwIfAborted();
      if (!(error instanceof CriError)) throw error;
      throw new CriError(error.code, `layer ${diffId}: ${error.message}`, { cause: error });
    });
    const base = { format: 1 as const, chainId, diffId, link: this.#layers.nextLink(), opaqueRoot, ...usage };
    return parent === undefined ? base : { ...base, parent };
  }

  /** Makes the layer durable, then visible: its files, its description, its name. */
  async #publish(layer: Layer, directory: string): Promise<void> {
    await writeFileAtomic(join(directory, 'layer.json'), toJson(layer, 2) + '\n');
    await run('sync', ['--file-system', '--', directory]);
    await this.#locks.run('layers', async () => {
      this.#layers.chain(layer.parent); // The lower layers must still exist.
      const target = this.#layers.directory(layer.chainId);
      try {
        await rename(directory, target);
        await this.#layers.link(layer);
        await syncDirectory(join(this.#root, 'layers'));
      } catch (error) {
        // A later pull could not replace it, and nobody would find it.
        await this.#trash.discard(target);
        await this.#layers.remove(layer);
        throw new Error(`cannot name layer ${layer.chainId}: ${messageOf(error)}`, { cause: error });
      }
      this.#layers.add(layer);
    });
  }
}

function usageOf({ bytes, inodes }: Usage): Usage {
  return { bytes, inodes };
}

function add(usages: readonly Usage[]): Usage {
  return usages.reduce<Usage>((sum, { bytes, inodes }) => ({ bytes: sum.bytes + bytes, inodes: sum.inodes + inodes }), {
    bytes: 0n,
    inodes: 0n,
  });
}
