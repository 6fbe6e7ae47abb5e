import { randomInt } from 'node:crypto';

const BITS = 2 ** 25;

/**
 * What a set of paths certainly lacks, found by a hash that a longer path continues: to look a deep path's directories up by
 * their names takes the square of its length. Takes 4 MiB.
 */
export class PathBits {
  /** The hash of the root. */
  static readonly root = 0;
  readonly #words = new Uint32Array(BITS / 32);
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
    this.#words[bit >>> 5] = (this.#words[bit >>> 5] ?? 0) | (1 << (bit & 31));
  }

  /** false only when the set does not have the path. */
  mayHave(hash: number): boolean {
    const bit = place(hash);
    return ((this.#words[bit >>> 5] ?? 0) & (1 << (bit & 31))) !== 0;
  }
}

/** One of BITS, from all bits of the hash. */
function place(hash: number): number {
  return Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 7;
}
