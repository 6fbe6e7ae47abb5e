import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import * as z from 'zod';
import { CriError, StatusCode } from '../../core/model/errors.ts';
import { writeFileAtomic } from '../../utils/fs/atomic.ts';

/** Writes the whole file so that a reader finds the old or the new one. */
export type Write = (path: string, text: string) => Promise<void>;

/** What a map holds, and how its file has it: `{"format": …, "MEMBER": {KEY: VALUE, …}}`. */
export interface MapKind<V> {
  /** The file's format; a server reads its own and older ones. */
  format: number;
  member: string;
  key: z.ZodType<string>;
  value: z.ZodType<V>;
  /** For errors: `map of VMIDs`. */
  name: string;
  /** What else goes when an unreadable file is removed: `the guests of pods that no record names`. */
  with: string;
}

/**
 * A map on disk: every change is durable when its call resolves. Changes that come while the file is being written share the
 * next writing.
 */
export class DurableMap<V> {
  readonly #path: string;
  readonly #kind: MapKind<V>;
  readonly #write: Write;
  readonly #entries: Map<string, V>;
  /** The writing that has not begun, and takes every change made until it does. */
  #next: Promise<void> | undefined;
  #current: Promise<void> = Promise.resolve();

  private constructor(path: string, kind: MapKind<V>, write: Write, entries: Map<string, V>) {
    this.#path = path;
    this.#kind = kind;
    this.#write = write;
    this.#entries = entries;
  }

  /**
   * Reads the map; an absent file is an empty map, and what a killed writing left beside it is removed.
   * @param write replaces the file; durable and atomic
   * @throws {CriError} FAILED_PRECONDITION for a file that is of a newer format, or none
   */
  static async open<V>(path: string, kind: MapKind<V>, write: Write = writeFileAtomic): Promise<DurableMap<V>> {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    for (const name of await readdir(dirname(path)))
      if (name.startsWith(`${basename(path)}.tmp-`)) await rm(join(dirname(path), name), { force: true });
    const text = await readFile(path, 'utf8').catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    });
    return new DurableMap(path, kind, write, text === undefined ? new Map<string, V>() : parse(path, kind, text));
  }

  /** The value of a key, undefined for none. */
  get(key: string): Readonly<V> | undefined {
    return this.#entries.get(key);
  }

  /** How many keys have a value. */
  get size(): number {
    return this.#entries.size;
  }

  /** All keys with their values, in no order. */
  entries(): [key: string, value: Readonly<V>][] {
    return [...this.#entries];
  }

  /**
   * Changes keys, or removes those whose value is undefined; when the file cannot be written they are as before, and the error
   * is the write's.
   */
  async set(...changes: readonly (readonly [key: string, value: V | undefined])[]): Promise<void> {
    const before = changes.map(([key, value]) => {
      const earlier = this.#entries.get(key);
      this.#put(key, value);
      return [key, value, earlier] as const;
    });
    try {
      await this.#flush();
    } catch (error) {
      for (const [key, value, earlier] of before) if (this.#entries.get(key) === value) this.#put(key, earlier);
      throw error;
    }
  }

  #put(key: string, value: V | undefined): void {
    if (value === undefined) this.#entries.delete(key);
    else this.#entries.set(key, value);
  }

  async #flush(): Promise<void> {
    this.#next ??= this.#current
      .catch(() => undefined)
      .then(() => {
        this.#current = this.#next ?? this.#current;
        this.#next = undefined;
        const { format, member } = this.#kind;
        const sorted = this.entries().sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }));
        const content = { format, [member]: Object.fromEntries(sorted) };
        return this.#write(this.#path, `${JSON.stringify(content, null, 1)}\n`);
      });
    await this.#next;
  }
}

function parse<V>(path: string, { format, member, key, value, name, with: others }: MapKind<V>, text: string) {
  const refuse = (problem: string, cause?: unknown): CriError =>
    new CriError(StatusCode.FAILED_PRECONDITION, `${path} ${problem}`, { cause });
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (error) {
    throw refuse(`is not JSON: restore it, or remove it and then ${others}`, error);
  }
  const found = z.object({ format: z.int() }).safeParse(content).data?.format ?? 0;
  if (found > format) throw refuse(`has format ${found}, of a newer version of this program: install that one again`);
  const stored = z.object({ format: z.literal(format), [member]: z.record(key, value) });
  const { data, error } = stored.safeParse(content);
  if (data === undefined) throw refuse(`is no ${name}: restore it, or remove it`, error);
  return new Map(Object.entries(data[member] as Record<string, V>));
}
