import { setTimeout as sleep } from 'node:timers/promises';
import type { LayerDescriptor } from '../../model/image.ts';
import type { LayerLease } from './layer-fetcher.ts';

/** Milliseconds between two reports. */
const INTERVAL_MS = 200;

/** waiting for other layers, being fetched, fetched, being unpacked, unpacked, or in the store before. */
export type LayerState = 'waiting' | 'downloading' | 'downloaded' | 'unpacking' | 'done' | 'present';

/** How far a layer of a pull is. */
export interface LayerProgress {
  /** Position in the image, 0 for the lowest layer. */
  index: number;
  /** Digest of the compressed layer. */
  digest: string;
  /** Bytes of the compressed layer, and those received so far. */
  size: number;
  received: number;
  state: LayerState;
}

/** The progress of one pull: {@link LayerUnpacker} writes it, one reader reads it. */
export class PullProgress {
  #layers: LayerProgress[] = [];
  #leases: (Pick<LayerLease, 'received'> | undefined)[] = [];

  /** The layers of the image, the lowest first, all waiting. */
  begin(layers: readonly LayerDescriptor[]): void {
    this.#layers = layers.map(({ digest, size }, index) => ({ index, digest, size, received: 0, state: 'waiting' }));
    this.#leases = [];
  }

  /** The layer is missing and is fetched with this lease. */
  fetch(index: number, lease: Pick<LayerLease, 'received'>): void {
    this.#leases[index] = lease;
  }

  /** The layer's state changes; one that was present stays so. */
  enter(index: number, state: 'unpacking' | 'done' | 'present'): void {
    const layer = this.#layers[index];
    if (layer === undefined || layer.state === 'present') return;
    layer.received = state === 'present' ? 0 : layer.size;
    layer.state = state;
  }

  /**
   * The layers that have changed since the last report, at most every 200 ms, until the pull settles. A slow reader gets
   * fewer reports. Never fails: the pull's error is the caller's.
   */
  async *reports(pull: Promise<unknown>): AsyncGenerator<LayerProgress[]> {
    const over = pull.then(
      () => true,
      () => true,
    );
    let before: LayerProgress[] = [];
    for (let isOver = false; ;) {
      const now = this.#look();
      const changed = now.filter(({ received, state }, index) => {
        const earlier = before[index];
        return earlier?.received !== received || earlier.state !== state;
      });
      before = now;
      if (changed.length > 0) yield changed;
      if (isOver) return;
      isOver = await Promise.race([over, sleep(INTERVAL_MS, false)]);
    }
  }

  #look(): LayerProgress[] {
    return this.#layers.map((layer, index) => {
      const received = this.#leases[index]?.received();
      if (layer.state !== 'waiting' || received === undefined) return { ...layer };
      return { ...layer, received, state: received < layer.size ? 'downloading' : 'downloaded' };
    });
  }
}
