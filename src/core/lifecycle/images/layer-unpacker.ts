import { KeyedLock } from '../../../utils/async/keyed-lock.ts';
import { CriError, StatusCode } from '../../model/errors.ts';
import type { LayerDescriptor, SourceImage } from '../../model/image.ts';
import type { RootfsStore } from '../../model/rootfs.ts';
import { abortable, runLocked } from '../../../utils/async/abortable.ts';
import { Holds } from './holds.ts';
import { chainIds } from './image-config.ts';
import type { LayerFetcher, LayerLease } from './layer-fetcher.ts';
import type { PullProgress } from './pull-progress.ts';

/** Applies an image's layers to the rootfs store, fetching only the missing ones. */
export class LayerUnpacker {
  readonly #store: RootfsStore;
  readonly #fetcher: LayerFetcher;
  readonly #locks = new KeyedLock();
  readonly #holds = new Holds();

  constructor(store: RootfsStore, fetcher: LayerFetcher) {
    this.#store = store;
    this.#fetcher = fetcher;
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
    try {
      for (const [index, layer] of source.layers.entries()) {
        if (await this.#store.hasLayer(chain[index] ?? '')) progress?.enter(index, 'present');
        else lease(index, layer);
      }
      for (const [index, layer] of source.layers.entries()) {
        const chainId = chain[index];
        const diffId = diffIds[index];
        if (chainId === undefined || diffId === undefined) break;
        await runLocked(this.#locks, chainId, signal, async () => {
          if (await this.#store.hasLayer(chainId)) return;
          const file = await abortable(lease(index, layer).file, signal);
          progress?.enter(index, 'unpacking');
          await this.#apply(file, { parent: chain[index - 1], chainId, diffId, digest: layer.digest }, signal);
        });
        progress?.enter(index, 'done');
        await leases[index]?.release();
      }
    } finally {
      for (const claimed of leases) await claimed?.release();
    }
  }

  /** Whether {@link hold} keeps a layer. */
  isHeld(chainId: string): boolean {
    return this.#holds.has(chainId);
  }

  /** Removes layers that are neither in `needed`, which is evaluated for each layer, nor leased, nor in use by the store. */
  async collect(needed: () => ReadonlySet<string>): Promise<void> {
    // A layer can be removed only after those on top of it, whose order the store knows: repeat while there is progress.
    for (let removed = true; removed;) {
      removed = false;
      const layers = await this.#store.listLayers();
      const keep = needed();
      for (const chainId of layers) {
        if (keep.has(chainId)) continue;
        removed = (await this.#locks.run(chainId, () => this.#tryRemove(chainId, needed))) || removed;
      }
    }
  }

  async #tryRemove(chainId: string, needed: () => ReadonlySet<string>): Promise<boolean> {
    // A pull that has ended since the round began has no lease any more, but a record.
    if (this.#holds.has(chainId) || needed().has(chainId)) return false;
    try {
      await this.#store.removeLayer(chainId);
      return true;
    } catch (error) {
      if (error instanceof CriError && error.code === StatusCode.FAILED_PRECONDITION) return false;
      throw error;
    }
  }

  async #apply(
    file: string,
    layer: { parent: string | undefined; chainId: string; diffId: string; digest: string },
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { parent, chainId, diffId, digest } = layer;
    try {
      await this.#store.applyLayer({ parent, chainId, diffId, blob: file, signal });
    } catch (error) {
      if (!(error instanceof CriError) || error.code !== StatusCode.INVALID_ARGUMENT) throw error;
      throw new CriError(StatusCode.INVALID_ARGUMENT, `layer ${digest}: ${error.message}`, { cause: error });
    }
  }
}
