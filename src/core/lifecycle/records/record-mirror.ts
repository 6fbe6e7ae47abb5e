import { rmSync } from 'node:fs';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../../../utils/errors.ts';
import { replaceFile } from '../../../utils/fs/atomic.ts';

/**
 * Backups of records on another filesystem, which a reboot empties: they restore a record whose file is damaged, and store
 * records while the filesystem of the records is full or read-only. They are not synced, since they are in memory.
 */
export class RecordMirror {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** The contents by file name; an unreadable backup is ignored. */
  async load(): Promise<Map<string, string>> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const texts = new Map<string, string>();
    for (const name of await readdir(this.#directory)) {
      const text = name.endsWith('.json') ? await this.#read(name) : undefined;
      if (text === undefined) this.remove(name);
      else texts.set(name, text);
    }
    return texts;
  }

  /** Whether it was written; a full state directory must not fail the write of the record. */
  write(name: string, text: string): boolean {
    try {
      replaceFile(join(this.#directory, name), text);
      return true;
    } catch {
      // An older backup would be taken for the current record.
      this.remove(name);
      this.remove(`${name}.tmp`);
      return false;
    }
  }

  /** Whether it is removed, or was not there. */
  remove(name: string): boolean {
    try {
      rmSync(join(this.#directory, name), { force: true, recursive: true });
      return true;
    } catch {
      return false;
    }
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
