import { readFile } from 'node:fs/promises';
import { writeFileAtomic } from './atomic.ts';

/** A JSON value in a file. */
export class KeptJson {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** The last stored value; undefined before the first, and when the file cannot be read. */
  async recall(): Promise<unknown> {
    try {
      return JSON.parse(await readFile(this.#path, 'utf8'));
    } catch {
      return undefined;
    }
  }

  /** Replaces the value durably. @throws Error of the system; the last value is kept then. */
  async remember(value: object): Promise<void> {
    await writeFileAtomic(this.#path, JSON.stringify(value));
  }
}
