import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { syncDirectory, writeFileAtomic } from '../../utils/fs/atomic.ts';
import { fromJson, toJson } from '../../utils/json.ts';
import { messageOf } from '../../utils/errors.ts';
import type { Logger } from '../model/logger.ts';

const FORMAT = 1;
const envelope = z.object({ format: z.literal(FORMAT), record: z.looseObject({ id: z.string() }) });

/** How a store turns what a file holds into a record, filling in what older versions did not write. */
export type RecordParser<T> = (stored: Record<string, unknown> & { id: string }) => T;

/**
 * Durable records of one kind, a JSON file an object, all of them in memory too. A change is on disk before anyone can
 * read it from memory. One process writes a folder.
 */
export class RecordStore<T extends { readonly id: string }> {
  readonly #directory: string;
  readonly #parse: RecordParser<T>;
  readonly #logger: Logger;
  readonly #records = new Map<string, T>();

  constructor(directory: string, options: { parse: RecordParser<T>; logger: Logger }) {
    this.#directory = directory;
    this.#parse = options.parse;
    this.#logger = options.logger;
  }

  /**
   * Reads the folder, which is made when missing. A file that cannot be understood is renamed to `*.corrupt` and
   * reported, so that one broken record does not keep the server from the others.
   */
  async load(): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.#directory)) {
      const path = join(this.#directory, name);
      if (name.includes('.tmp-')) {
        await rm(path, { force: true });
        continue;
      }
      if (!name.endsWith('.json')) continue;
      try {
        const { record } = envelope.parse(fromJson(await readFile(path, 'utf8')));
        if (this.#path(record.id) !== path) throw new Error(`the file holds the record of ${record.id}`);
        this.#records.set(record.id, this.#parse(record));
      } catch (error) {
        this.#logger.error('Set a record aside that cannot be read', { path, error: messageOf(error) });
        await rename(path, `${path}.corrupt`);
      }
    }
  }

  get(id: string): T | undefined {
    return this.#records.get(id);
  }

  /** All records, in no particular order. */
  list(): T[] {
    return [...this.#records.values()];
  }

  /** Writes a record durably, then shows it. */
  async put(record: T): Promise<void> {
    await writeFileAtomic(this.#path(record.id), toJson({ format: FORMAT, record }, 2) + '\n');
    this.#records.set(record.id, record);
  }

  /** Removes a record durably; no error when there is none. */
  async delete(id: string): Promise<void> {
    await rm(this.#path(id), { force: true });
    await syncDirectory(this.#directory);
    this.#records.delete(id);
  }

  #path(id: string): string {
    // An image id has a colon, which is legal in a file name but awkward in every shell and archive tool.
    return join(this.#directory, `${id.replace(':', '-')}.json`);
  }
}
