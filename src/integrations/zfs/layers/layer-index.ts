import type { Usage } from '../../../core/model/rootfs.ts';
import type { Backing, Origin } from '../backing/backing.ts';
import { completeOf, type Layout, noLayer } from '../store/layout.ts';
import type { Cloned, Layer } from './layer-snapshot.ts';

/** The complete layers and their base, as the pool has them: read once, because no other server uses the dataset. */
export class LayerIndex {
  /** The empty dataset that the lowest layers are clones of. */
  readonly base: string;
  readonly #layout: Layout;
  readonly #layers = new Map<string, Layer>();
  #base: Cloned | undefined;

  constructor(layout: Layout, backing: Pick<Backing, 'base'>) {
    this.base = `${layout.layers}/${backing.base}`;
    this.#layout = layout;
  }

  /** Takes these instead of all others. */
  replace(layers: readonly Layer[], base: Cloned): void {
    this.#layers.clear();
    for (const layer of layers) this.add(layer);
    this.#base = base;
  }

  add(layer: Layer): void {
    this.#layers.set(layer.chainId, layer);
  }

  remove(chainId: string): void {
    this.#layers.delete(chainId);
  }

  get(chainId: string): Layer | undefined {
    return this.#layers.get(chainId);
  }

  list(): Layer[] {
    return [...this.#layers.values()];
  }

  /** What root filesystems and layers are clones of; undefined: of no layer. @throws CriError NOT_FOUND. */
  originOf(chainId: string | undefined): Origin {
    const cloned = chainId === undefined ? this.#base : this.#layers.get(chainId);
    if (cloned === undefined) throw noLayer(chainId ?? 'base');
    const name = chainId === undefined ? this.base : this.#layout.layer(chainId);
    const { objects, referenced, volumeBytes } = cloned;
    return { snapshot: completeOf(name), bytes: this.usage(chainId).bytes, objects, referenced, volumeBytes };
  }

  /** What the files of a layer and of those below use. @throws CriError NOT_FOUND. */
  usage(top: string | undefined): Usage {
    let usage: Usage = { bytes: 0n, inodes: 0n };
    for (let id = top; id !== undefined;) {
      const layer = this.#layers.get(id);
      if (layer === undefined) throw noLayer(id);
      usage = { bytes: usage.bytes + layer.bytes, inodes: usage.inodes + layer.inodes };
      id = layer.parent;
    }
    return usage;
  }
}
