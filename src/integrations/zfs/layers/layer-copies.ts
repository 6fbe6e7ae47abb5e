import { ownValueOf } from '../answers/properties.ts';
import { isKind } from '../errors/zfs-error.ts';
import { type Kind, type Layout, PROPERTY } from '../store/layout.ts';
import type { Zfs } from '../zfs.ts';

/** Copies of layers, received for the layers above them that continue their snapshots: no root filesystem is made of one. */
export class LayerCopies {
  readonly #zfs: Zfs;
  readonly #layout: Layout;
  #receiving = 0;
  /** A killed server may have left some. */
  #mayExist = true;

  constructor({ zfs, layout }: { zfs: Zfs; layout: Layout }) {
    this.#zfs = zfs;
    this.#layout = layout;
  }

  /** Runs a task that makes copies, which {@link sweep} spares meanwhile. */
  async receiving<T>(task: () => Promise<T>): Promise<T> {
    this.#receiving += 1;
    try {
      return await task();
    } finally {
      this.#receiving -= 1;
      this.#mayExist = true;
      await this.sweep();
    }
  }

  /** Destroys those that no clone needs any more. */
  async sweep(): Promise<void> {
    if (this.#receiving > 0 || !this.#mayExist) return;
    const entries = await this.#zfs.list(this.#layout.layers, [PROPERTY.kind], { depth: 1 });
    const copies = entries.filter((entry) => ownValueOf(entry, PROPERTY.kind) === ('removed' satisfies Kind));
    this.#mayExist = copies.length > 0;
    // A copy can be destroyed only after the one that continues it: repeat while there is progress.
    for (let left = copies, before = Infinity; left.length > 0 && left.length < before;) {
      before = left.length;
      const gone = await Promise.all(left.map(({ name }) => this.#destroyUnused(name)));
      left = left.filter((_, index) => gone[index] !== true);
    }
  }

  async #destroyUnused(name: string): Promise<boolean> {
    try {
      await this.#zfs.destroy(name, { recursive: true, repeats: 0 });
      return true;
    } catch (error) {
      if (isKind(error, 'inUse', 'busy')) return false;
      if (isKind(error, 'notFound')) return true;
      throw error;
    }
  }
}
