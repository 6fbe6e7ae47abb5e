import { KeyedLock } from '../../../utils/async/keyed-lock.ts';
import { CriError, StatusCode } from '../../model/errors.ts';
import type { LayerDescriptor, SourceImage } from '../../model/image.ts';
import type { LayerApply, RootfsStore } from '../../model/rootfs.ts';
import type { RootfsStores } from '../rootfs-stores.ts';
import { abortable, runLocked } from '../../../utils/async/abortable.ts';
import { Holds } from './holds.ts';
import { chainIds } from './image-config.ts';
import type { LayerFetcher, LayerLease } from './layer-fetcher.ts';
import type { PullProgress } from './pull-progress.ts';

/** Applies an image's layers to the rootfs stores in use, fetching only those that one of them lacks. */
export class LayerUnpacker {
  readonly #stores: Pick<RootfsStores, 'used' | 'each'>;
  readonly #fetcher: LayerFetcher;
  readonly #freeBytes: (path: string) => Promise<number>;
  readonly #locks = new KeyedLock();
  readonly #holds = new Holds();

  /** @param freeBytes of the filesystem of a path. */
  constructor(
    stores: Pick<RootfsStores, 'used' | 'each'>,
    fetcher: LayerFetcher,
    freeBytes: (path: string) => Promise<number>,
  ) {
    this.#stores = stores;
    this.#fetcher = fetcher;
    this.#freeBytes = freeBytes;
  }

  /** Keeps these chain ids from {@link collect} until the returned function is called. */
  hold(chain: readonly string[]): () => void {
    return this.#holds.add(chain);
  }

  /**
   * Applies every missing layer, while later ones are fetched. The caller has a lease on the chain.
   * @throws CriError INVALID_ARGUMENT for a broken or hostile layer; the signal's reason.
   */
  async unpack(
    source: SourceImage,
    diffIds: readonly string[],
    { signal, progress }: { signal?: AbortSignal | undefined; progress?: PullProgress | undefined } = {},
  ): Promise<void> {
    const chain = chainIds(diffIds);
    const leases: (LayerLease | undefined)[] = [];
    const slots = this.#fetcher.slots();
    const lease = (index: number, layer: LayerDescriptor) => {
      const open = (abort: AbortSignal) => source.openLayer(layer, abort);
      const claimed = (leases[index] ??= this.#fetcher.lease(layer.digest, open, slots));
      progress?.fetch(index, claimed);
      return claimed;
    };
    progress?.begin(source.layers);
    if (source.isLocal) await this.#checkSpace(source.layers, chain);
    try {
      for (const [index, layer] of source.layers.entries()) {
        if ((await this.#lacking(chain[index] ?? '')).length === 0) progress?.enter(index, 'present');
        else if (!source.isLocal) lease(index, layer);
      }
      for (const [index, layer] of source.layers.entries()) {
        const chainId = chain[index];
        const diffId = diffIds[index];
        if (chainId === undefined || diffId === undefined) break;
        await runLocked(this.#locks, chainId, signal, async () => {
          const lacking = await this.#lacking(chainId);
          if (lacking.length === 0) return;
          const blob = source.isLocal
            ? { size: layer.size, open: () => source.openLayer(layer, signal) }
            : await abortable(lease(index, layer).file, signal);
          progress?.enter(index, 'unpacking');
          const wanted = { parent: chain[index - 1], chainId, diffId, digest: layer.digest };
          for (const store of lacking) await apply(store, blob, wanted, signal);
        });
        progress?.enter(index, 'done');
        await leases[index]?.release();
      }
    } finally {
      for (const claimed of leases) await claimed?.release();
    }
  }

  /**
   * The whole of a local image is known to be there: what does not fit is not begun with.
   * @throws CriError RESOURCE_EXHAUSTED when a store has less room than its missing layers take before they are unpacked.
   */
  async #checkSpace(layers: readonly LayerDescriptor[], chain: readonly string[]): Promise<void> {
    const needed = new Map<RootfsStore, number>();
    for (const [index, { size }] of layers.entries()) {
      for (const store of await this.#lacking(chain[index] ?? '')) needed.set(store, (needed.get(store) ?? 0) + size);
    }
    for (const [store, bytes] of needed) {
      const { mountpoint } = await store.fsUsage();
      const free = await this.#freeBytes(mountpoint);
      if (bytes <= free) continue;
      throw new CriError(
        StatusCode.RESOURCE_EXHAUSTED,
        `the layers of the image have ${bytes} bytes, and ${mountpoint} has ${free} bytes free; remove unused images with prune`,
      );
    }
  }

  /** Whether {@link hold} keeps a layer. */
  isHeld(chainId: string): boolean {
    return this.#holds.has(chainId);
  }

  /** Whether every store in use has the layer. */
  async has(chainId: string): Promise<boolean> {
    return (await this.#lacking(chainId)).length === 0;
  }

  /**
   * Removes layers that are neither in `needed`, which is evaluated for each layer, nor leased, nor in use by their store. Of a
   * store that is left, no image needs a layer.
   */
  async collect(needed: () => ReadonlySet<string>): Promise<void> {
    const held = { has: (chainId: string) => this.#holds.has(chainId) };
    const none = new Set<string>();
    await this.#stores.each('removing unused layers', (store, isUsed) =>
      isUsed ? this.#collect(store, needed, held) : this.#collect(store, () => none, none),
    );
  }

  async #collect(
    store: RootfsStore,
    needed: () => ReadonlySet<string>,
    held: Pick<ReadonlySet<string>, 'has'>,
  ): Promise<void> {
    // A layer can be removed only after those on top of it, whose order the store knows: repeat while there is progress.
    for (let removed = true; removed;) {
      removed = false;
      const layers = await store.listLayers();
      const keep = needed();
      for (const chainId of layers) {
        if (keep.has(chainId)) continue;
        const remove = async () => {
          // A pull that has ended since the round began has no lease any more, but a record.
          if (held.has(chainId) || needed().has(chainId)) return false;
          return tryRemove(store, chainId);
        };
        removed = (await this.#locks.run(chainId, remove)) || removed;
      }
    }
  }

  /** The stores in use that do not have the layer. */
  async #lacking(chainId: string): Promise<RootfsStore[]> {
    const lacking: RootfsStore[] = [];
    for (const store of this.#stores.used) if (!(await store.hasLayer(chainId))) lacking.push(store);
    return lacking;
  }
}

async function tryRemove(store: RootfsStore, chainId: string): Promise<boolean> {
  try {
    await store.removeLayer(chainId);
    return true;
  } catch (error) {
    if (error instanceof CriError && error.code === StatusCode.FAILED_PRECONDITION) return false;
    throw error;
  }
}

async function apply(
  store: RootfsStore,
  blob: LayerApply['blob'],
  layer: { parent: string | undefined; chainId: string; diffId: string; digest: string },
  signal: AbortSignal | undefined,
): Promise<void> {
  const { parent, chainId, diffId, digest } = layer;
  try {
    await store.applyLayer({ parent, chainId, diffId, blob, signal });
  } catch (error) {
    if (!(error instanceof CriError) || error.code !== StatusCode.INVALID_ARGUMENT) throw error;
    throw new CriError(StatusCode.INVALID_ARGUMENT, `layer ${digest}: ${error.message}`, { cause: error });
  }
}
