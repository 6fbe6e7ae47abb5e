import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../../../utils/errors.ts';

/**
 * Copies of records on another file system, which a reboot empties: they bring back a record whose own file is damaged, and
 * hold what its file system, full or read-only, has no room for. They are not synced, since they live in memory.
 */
export class RecordMirror {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** The texts by file name; a copy that cannot be read counts for nothing. */
  async load(): Promise<Map<string, string>> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const texts = new Map<string, string>();
    for (const name of await readdir(this.#directory)) {
      const text = name.endsWith('.json') ? await this.#read(name) : undefined;
      if (text === undefined) await this.remove(name);
      else texts.set(name, text);
    }
    return texts;
  }

  /** Whether it could be written; a full state directory must not fail what the record itself has room for. */
  async write(name: string, text: string): Promise<boolean> {
    const path = join(this.#directory, name);
    try {
      await writeFile(`${path}.tmp`, text, { mode: 0o600 });
      await rename(`${path}.tmp`, path);
      return true;
    } catch {
      // An older copy would be taken for the truth.
      await this.remove(name);
      return false;
    }
  }

  async remove(name: string): Promise<void> {
    await rm(join(this.#directory, name), { force: true, recursive: true }).catch(() => undefined);
  }

  async #read(name: string): Promise<string | undefined> {
    try {
      return await readFile(join(this.#directory, name), 'utf8');
    } catch (error) {
      if (isErrno(error, 'EMFILE', 'ENFILE')) throw error;
      return undefined;
    }
  }
}
