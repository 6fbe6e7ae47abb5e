import { randomInt } from 'node:crypto';

const BITS = 2 ** 25;
/** A page has 2 ** PAGE_SHIFT bits. */
const PAGE_SHIFT = 16;

/**
 * What a set of paths certainly lacks, found by a hash that a longer path continues: to look a deep path's directories up by
 * their names takes the square of its length. Takes up to 4 MiB, 8 KiB for each of the first paths.
 */
export class PathBits {
  /** The hash of the root. */
  static readonly root = 0;
  /** Made when a bit of theirs is set: most layers are small. */
  readonly #pages = new Array<Uint32Array | undefined>(BITS >>> PAGE_SHIFT).fill(undefined);
  // Unknown to whoever chooses the paths.
  readonly #factor = 2 * randomInt(2 ** 30) + 1;

  /** The hash of the path `components`, one or more of them, below the one whose hash is given. */
  below(hash: number, components: string): number {
    let result = Math.imul(hash, this.#factor) + 0x2f;
    for (let at = 0; at < components.length; at++) {
      result = (Math.imul(result, this.#factor) + components.charCodeAt(at)) | 0;
    }
    return result;
  }

  add(hash: number): void {
    const bit = place(hash);
    const page = (this.#pages[bit >>> PAGE_SHIFT] ??= new Uint32Array(2 ** PAGE_SHIFT / 32));
    page[wordOf(bit)] = (page[wordOf(bit)] ?? 0) | (1 << (bit & 31));
  }

  /** false only when the set does not have the path. */
  mayHave(hash: number): boolean {
    const bit = place(hash);
    const word = this.#pages[bit >>> PAGE_SHIFT]?.[wordOf(bit)] ?? 0;
    return (word & (1 << (bit & 31))) !== 0;
  }
}

/** Of its page. */
function wordOf(bit: number): number {
  return (bit & (2 ** PAGE_SHIFT - 1)) >>> 5;
}

/** One of BITS, from all bits of the hash. */
function place(hash: number): number {
  return Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 7;
}
