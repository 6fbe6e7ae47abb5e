import { UsageError } from '../command.ts';

/** The default of docker and podman. */
export const DEFAULT_DETACH_KEYS = 'ctrl-p,ctrl-q';

/** `ctrl-p,ctrl-q` or `a,b` as the bytes that a terminal sends; no bytes for an empty string. @throws UsageError */
export function parseDetachKeys(text: string): Buffer {
  if (text === '') return Buffer.alloc(0);
  return Buffer.from(text.split(',').map((key) => byteOf(key, text)));
}

function byteOf(key: string, text: string): number {
  const control = /^ctrl-([a-z@[\\\]^_])$/i.exec(key)?.[1];
  // ascii(7): a control character is its letter without the upper three bits.
  if (control !== undefined) return control.toUpperCase().charCodeAt(0) & 0x1f;
  if (/^[!-~]$/.test(key)) return key.charCodeAt(0);
  const form = 'characters or ctrl-LETTER, separated by commas, such as ctrl-p,ctrl-q';
  throw new UsageError(`--detach-keys: must be ${form}, not ${JSON.stringify(text)}`);
}

/** Searches the typed bytes for a key sequence, and buffers a possible prefix of it. */
export class DetachFilter {
  readonly #keys: Buffer;
  #matched = 0;

  /** Without keys nothing matches. */
  constructor(keys: Buffer) {
    this.#keys = keys;
  }

  /** The bytes to forward, and whether the whole sequence was typed; bytes after it are dropped. */
  push(typed: Buffer): { pass: Buffer; detach: boolean } {
    if (this.#keys.length === 0) return { pass: typed, detach: false };
    const pass: number[] = [];
    for (const byte of typed) {
      while (this.#matched > 0 && byte !== this.#keys[this.#matched]) this.#fallBack(pass);
      if (byte !== this.#keys[this.#matched]) {
        pass.push(byte);
        continue;
      }
      this.#matched += 1;
      if (this.#matched === this.#keys.length) return { pass: Buffer.from(pass), detach: true };
    }
    return { pass: Buffer.from(pass), detach: false };
  }

  /** Releases as few buffered bytes as necessary, so that the rest is a prefix again. */
  #fallBack(pass: number[]): void {
    const held = this.#keys.subarray(0, this.#matched);
    let given = 1;
    while (given < held.length && !held.subarray(given).equals(this.#keys.subarray(0, held.length - given))) given++;
    pass.push(...held.subarray(0, given));
    this.#matched = held.length - given;
  }
}
