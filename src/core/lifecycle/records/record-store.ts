import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { KeyedLock } from '../../../utils/async/keyed-lock.ts';
import { syncDirectory, writeFileAtomic } from '../../../utils/fs/atomic.ts';
import { isErrno, messageOf } from '../../../utils/errors.ts';
import { ROOT, STATE } from '../../state-layout.ts';
import { CriError, failedPrecondition } from '../../model/errors.ts';
import type { Logger } from '../../model/logger.ts';
import type { DiskReserve } from './disk-reserve.ts';
import { formatRecord, formatRemoval, parseRecord } from './record-file.ts';
import type { RecordSchema, Revision } from './record-file.ts';
import { RecordMirror } from './record-mirror.ts';

const SUFFIX = '.json';
const SET_ASIDE = '.json.corrupt';
/** Milliseconds until a failed write is retried. */
const RETRY_MS = 5000;

/** The kind of records. */
export type RecordKind = 'sandboxes' | 'containers' | 'images';

/** Directories of the records of every kind. */
export interface RecordsPlace {
  /** Directory of durable data; the records of a kind are in a directory with its name. */
  root: string;
  /** Directory that a reboot empties, on another filesystem; backups are in `records/<kind>`. */
  state: string;
  reserve: DiskReserve;
}

export interface RecordStoreOptions<T> {
  schema: RecordSchema<T>;
  logger: Logger;
}

/**
 * Durable records of one kind: one JSON file per object, and all of them in memory. Only one process writes a directory.
 */
export class RecordStore<T extends { readonly id: string }> {
  readonly #directory: string;
  readonly #schema: RecordSchema<T>;
  readonly #mirror: RecordMirror;
  readonly #reserve: DiskReserve;
  readonly #logger: Logger;
  readonly #records = new Map<string, Revision<T>>();
  readonly #setAside = new Set<string>();
  /** Backups of records whose file is missing. */
  readonly #lost = new Map<string, T>();
  /** Ids whose file differs from memory. */
  readonly #unsaved = new Set<string>();
  /** Ids of removed records whose backup could not be removed. */
  readonly #stale = new Set<string>();
  readonly #writes = new KeyedLock();
  #retry: NodeJS.Timeout | undefined;

  constructor(kind: RecordKind, { root, state, reserve }: RecordsPlace, { schema, logger }: RecordStoreOptions<T>) {
    this.#directory = join(root, ROOT[kind]);
    this.#schema = schema;
    this.#mirror = new RecordMirror(join(state, STATE.records, ROOT[kind]));
    this.#reserve = reserve;
    this.#logger = logger;
  }

  /**
   * Reads the directory, which is created when missing. A damaged record is restored from its backup; without one it is renamed
   * to `*.corrupt` and logged, so that it does not block the others, and {@link isSetAside} returns true for its id.
   * @throws CriError FAILED_PRECONDITION, naming the file, when one cannot be read or was written by a later version:
   *   without the record its pod or container would be removed as an orphan.
   */
  async load(): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const copies = await this.#mirror.load();
    for (const name of await readdir(this.#directory)) {
      const path = join(this.#directory, name);
      if (name.includes('.tmp-')) await rm(path, { force: true }).catch(() => undefined);
      else if (name.endsWith(SET_ASIDE)) this.#setAside.add(idOf(name.slice(0, -SET_ASIDE.length)));
      else if (name.endsWith(SUFFIX)) {
        await this.#load(name, copies.get(name));
        copies.delete(name);
      }
    }
    for (const [name, text] of copies) {
      const { record, revision, isDraft } = this.#parseCopy(name, text) ?? {};
      if (record === undefined || revision === undefined) this.#removeBackup(idOf(name.slice(0, -SUFFIX.length)));
      else if (isDraft) await this.#restore(record.id, { revision, record });
      else this.#lost.set(record.id, record);
    }
  }

  /**
   * Whether a damaged record of this id was renamed. Its pod or container must not be removed until an operator deletes the
   * `*.corrupt` file and restarts the server.
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

  /** Backups of records without a file, by id: they describe the leftovers to remove. */
  lost(): ReadonlyMap<string, T> {
    return this.#lost;
  }

  /** Removes the backup of a lost record. */
  forget(id: string): void {
    this.#lost.delete(id);
    this.#removeBackup(id);
  }

  /** Writes a record durably, then makes it visible; not visible when the write fails. */
  put(record: T): Promise<void> {
    return this.#writes.run(record.id, async () => {
      const next = this.#next(record);
      await this.#write(next);
      this.#records.set(record.id, next);
      this.#unsaved.delete(record.id);
      this.#mirror.write(nameOf(record.id), formatRecord(this.#schema, next));
    });
  }

  /**
   * Makes a step visible that nobody has been told of yet, about what ends with the boot: only the backup is written, from which
   * a restarted server continues; a reboot empties it, and leaves the record before. Where that is not possible the record is
   * written as by {@link settle}.
   */
  draft(record: T): Promise<void> {
    return this.#writes.run(record.id, async () => {
      const next = this.#next(record);
      this.#records.set(record.id, next);
      const text = formatRecord(this.#schema, { ...next, isDraft: true });
      if (!this.#mirror.write(nameOf(record.id), text)) await this.#save(record.id);
    });
  }

  /**
   * Makes a record of a past change, such as an exit, visible, and writes it. On a full or read-only disk the failure is logged
   * and the write retried; a restarted server reads the backup.
   */
  settle(record: T): Promise<void> {
    return this.#writes.run(record.id, async () => {
      const next = this.#next(record);
      this.#records.set(record.id, next);
      this.#mirror.write(nameOf(record.id), formatRecord(this.#schema, next));
      await this.#save(record.id);
    });
  }

  /** Removes a record; no error when there is none. A failed removal is retried, as in {@link settle}. */
  delete(id: string): Promise<void> {
    return this.#writes.run(id, async () => {
      const revision = this.#records.get(id)?.revision ?? 0;
      this.#records.delete(id);
      // No backup without a record: it would be taken for that of a lost record.
      this.#removeBackup(id);
      if (!(await this.#save(id))) this.#mirror.write(nameOf(id), formatRemoval(revision));
    });
  }

  async #load(name: string, copy: string | undefined): Promise<void> {
    const id = idOf(name.slice(0, -SUFFIX.length));
    const path = join(this.#directory, name);
    const text = await readFile(path, 'utf8').catch((cause: unknown) => {
      const remedy = 'make it readable and restart the server; nothing was changed';
      throw failedPrecondition(`${path}: cannot be read (${messageOf(cause)}); ${remedy}`, cause);
    });
    const newer = copy === undefined ? undefined : this.#parseCopy(name, copy);
    try {
      const found = parseRecord(this.#schema, path, text);
      if (found.record?.id !== id) throw new Error(`the file has the record of ${String(found.record?.id)}`);
      if (newer !== undefined && supersedes(newer, found)) return await this.#restore(id, newer);
      this.#records.set(id, { revision: found.revision, record: found.record });
      this.#mirror.write(name, text);
    } catch (error) {
      if (error instanceof CriError) throw error;
      if (newer?.record !== undefined) {
        this.#logger.error('Damaged record restored from its backup', { path, error: messageOf(error) });
        return this.#restore(id, newer);
      }
      this.#logger.error('Damaged record renamed; its processes are left alone', {
        path: `${path}.corrupt`,
        error: messageOf(error),
        remedy: `delete ${path}.corrupt and restart the server to remove its leftovers`,
      });
      await rename(path, `${path}.corrupt`);
      this.#setAside.add(id);
    }
  }

  /** Applies a backup, and updates the file. */
  async #restore(id: string, { revision, record }: Revision<T | undefined>): Promise<void> {
    if (record !== undefined) this.#records.set(id, { revision, record });
    if ((await this.#save(id)) && record === undefined) this.#removeBackup(id);
  }

  /** Removes a backup, or schedules a retry: at the next start it would be taken for that of a lost record. */
  #removeBackup(id: string): void {
    if (this.#mirror.remove(nameOf(id))) this.#stale.delete(id);
    else {
      this.#stale.add(id);
      this.#retryLater();
    }
  }

  #parseCopy(name: string, text: string): Revision<T | undefined> | undefined {
    try {
      const copy = parseRecord(this.#schema, name, text);
      return copy.record === undefined || nameOf(copy.record.id) === name ? copy : undefined;
    } catch {
      return undefined;
    }
  }

  #next(record: T): Revision<T> {
    return { revision: (this.#records.get(record.id)?.revision ?? 0) + 1, record };
  }

  #write(revision: Revision<T>): Promise<void> {
    return writeFileAtomic(join(this.#directory, nameOf(revision.record.id)), formatRecord(this.#schema, revision));
  }

  /** Updates the file from memory, or schedules a retry. Returns whether the file is current. */
  async #save(id: string): Promise<boolean> {
    try {
      await this.#saveWithReserve(id);
      this.#unsaved.delete(id);
      return true;
    } catch (error) {
      if (!this.#unsaved.has(id)) {
        this.#logger.warn('Writing a record failed; kept in memory and retried', {
          path: join(this.#directory, nameOf(id)),
          error: messageOf(error),
        });
      }
      this.#unsaved.add(id);
      this.#retryLater();
      return false;
    }
  }

  #retryLater(): void {
    this.#retry ??= setTimeout(() => void this.#saveAll(), RETRY_MS).unref();
  }

  async #saveWithReserve(id: string): Promise<void> {
    try {
      await this.#saveOnce(id);
    } catch (error) {
      if (!isErrno(error, 'ENOSPC', 'EDQUOT') || !(await this.#reserve.release())) throw error;
      await this.#saveOnce(id);
      // Room is made for the next full disk as soon as there is some.
      this.#retryLater();
    }
  }

  async #saveOnce(id: string): Promise<void> {
    const revision = this.#records.get(id);
    if (revision !== undefined) return this.#write(revision);
    await rm(join(this.#directory, nameOf(id)), { force: true });
    await syncDirectory(this.#directory);
  }

  async #saveAll(): Promise<void> {
    this.#retry = undefined;
    for (const id of [...this.#unsaved]) {
      await this.#writes.run(id, async () => {
        if (!this.#unsaved.has(id) || !(await this.#save(id))) return;
        if (!this.#records.has(id)) this.#removeBackup(id);
      });
    }
    for (const id of [...this.#stale].filter((id) => !this.#unsaved.has(id))) {
      await this.#writes.run(id, async () => {
        if (this.#records.has(id)) this.#stale.delete(id);
        else this.#removeBackup(id);
      });
    }
    if (this.#unsaved.size === 0) await this.#reserve.fill();
  }
}

function nameOf(id: string): string {
  // An image id has a colon, which is legal in a file name but awkward in every shell and archive tool.
  return `${id.replace(':', '-')}${SUFFIX}`;
}

/** Whether a backup is newer than the record's file. */
function supersedes(copy: Revision<unknown>, file: Revision<unknown>): boolean {
  return copy.record === undefined ? copy.revision >= file.revision : copy.revision > file.revision;
}

/** The id of the file with this name, without its suffix. */
function idOf(name: string): string {
  return name.replace(/^(sha256)-/, '$1:');
}
