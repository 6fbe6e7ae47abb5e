import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory, writeFileAtomic } from '../../../utils/fs/atomic.ts';
import { messageOf } from '../../../utils/errors.ts';
import { CriError, failedPrecondition } from '../../model/errors.ts';
import type { Logger } from '../../model/logger.ts';
import { formatRecord, parseRecord } from './record-file.ts';
import type { RecordSchema, Revision } from './record-file.ts';

const SUFFIX = '.json';
const SET_ASIDE = '.json.corrupt';

export interface RecordStoreOptions<T> {
  schema: RecordSchema<T>;
  logger: Logger;
}

/**
 * Durable records of one kind, a JSON file an object, all of them in memory too. A change is on disk before anyone can
 * read it from memory. One process writes a directory.
 */
export class RecordStore<T extends { readonly id: string }> {
  readonly #directory: string;
  readonly #schema: RecordSchema<T>;
  readonly #logger: Logger;
  readonly #records = new Map<string, Revision<T>>();
  readonly #setAside = new Set<string>();

  constructor(directory: string, { schema, logger }: RecordStoreOptions<T>) {
    this.#directory = directory;
    this.#schema = schema;
    this.#logger = logger;
  }

  /**
   * Reads the directory, which is made when missing. A damaged file is renamed to `*.corrupt` and reported, so that one
   * broken record does not keep the server from the others; {@link isSetAside} then knows its id.
   * @throws CriError FAILED_PRECONDITION, naming the file, when one cannot be read or a later version has written it:
   *   to go on without the record would be to remove what runs of it.
   */
  async load(): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.#directory)) {
      const path = join(this.#directory, name);
      if (name.includes('.tmp-')) await rm(path, { force: true });
      else if (name.endsWith(SET_ASIDE)) this.#setAside.add(idOf(name.slice(0, -SET_ASIDE.length)));
      else if (name.endsWith(SUFFIX)) await this.#load(path, idOf(name.slice(0, -SUFFIX.length)));
    }
  }

  /**
   * Whether a damaged record of this id lies aside. What runs of it is nobody's to remove: it ends when an operator deletes
   * the `*.corrupt` file and starts the server again.
   */
  isSetAside(id: string): boolean {
    return this.#setAside.has(id);
  }

  get(id: string): T | undefined {
    return this.#records.get(id)?.record;
  }

  /** All records, in no particular order. */
  list(): T[] {
    return [...this.#records.values()].map(({ record }) => record);
  }

  /** Writes a record durably, then shows it. */
  async put(record: T): Promise<void> {
    const next = { revision: (this.#records.get(record.id)?.revision ?? 0) + 1, record };
    await writeFileAtomic(this.#path(record.id), formatRecord(this.#schema, next));
    this.#records.set(record.id, next);
  }

  /** Removes a record durably; no error when there is none. */
  async delete(id: string): Promise<void> {
    await rm(this.#path(id), { force: true });
    await syncDirectory(this.#directory);
    this.#records.delete(id);
  }

  async #load(path: string, id: string): Promise<void> {
    const text = await readFile(path, 'utf8').catch((cause: unknown) => {
      const remedy = 'correct what keeps it from being read, and start again; nothing was changed';
      throw failedPrecondition(`${path}: cannot be read (${messageOf(cause)}): ${remedy}`, cause);
    });
    try {
      const found = parseRecord(this.#schema, path, text);
      if (found.record.id !== id) throw new Error(`the file holds the record of ${found.record.id}`);
      this.#records.set(id, found);
    } catch (error) {
      if (error instanceof CriError) throw error;
      this.#logger.error('Set aside a damaged record; what runs of it is left alone', {
        path: `${path}.corrupt`,
        error: messageOf(error),
        remedy: `delete ${path}.corrupt and restart the server to have what is left of it removed`,
      });
      await rename(path, `${path}.corrupt`);
      this.#setAside.add(id);
    }
  }

  #path(id: string): string {
    // An image id has a colon, which is legal in a file name but awkward in every shell and archive tool.
    return join(this.#directory, `${id.replace(':', '-')}${SUFFIX}`);
  }
}

/** The id whose file has this name, without its suffix. */
function idOf(name: string): string {
  return name.replace(/^(sha256)-/, '$1:');
}
