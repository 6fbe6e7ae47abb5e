import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { CriError, StatusCode } from '../../../core/model/errors.ts';
import { writeFileAtomic } from '../../../utils/fs/atomic.ts';

/** The file's format; a server reads its own and older ones. */
const FORMAT = 1;

const entry = z.object({
  /** The pod's id. */
  owner: z.string(),
  /** `reserved`: a create may be under way; `used`: the guest was created; `leaving`: it is to be gone before reuse. */
  state: z.enum(['reserved', 'used', 'leaving']),
});

/** What is known of one VMID. */
export type VmidEntry = z.infer<typeof entry>;

const stored = z.object({
  format: z.literal(FORMAT),
  vmids: z.record(z.string().regex(/^[1-9]\d{2,8}$/), entry),
});

/** Writes the whole file so that a reader finds the old or the new one. */
type Write = (path: string, text: string) => Promise<void>;

/**
 * Which VMIDs pods have, on disk: every change is durable when its call resolves. Changes that come while the file is being
 * written share the next writing.
 */
export class VmidMap {
  readonly #path: string;
  readonly #write: Write;
  readonly #entries: Map<number, VmidEntry>;
  /** The writing that has not begun, and takes every change made until it does. */
  #next: Promise<void> | undefined;
  #current: Promise<void> = Promise.resolve();

  private constructor(path: string, write: Write, entries: Map<number, VmidEntry>) {
    this.#path = path;
    this.#write = write;
    this.#entries = entries;
  }

  /**
   * Reads the map; an absent file is an empty map, and what a killed writing left beside it is removed.
   * @param write replaces the file; durable and atomic
   * @throws {CriError} FAILED_PRECONDITION for a file that is of a newer format, or none
   */
  static async open(path: string, write: Write = writeFileAtomic): Promise<VmidMap> {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    for (const name of await readdir(dirname(path)))
      if (name.startsWith(`${basename(path)}.tmp-`)) await rm(join(dirname(path), name), { force: true });
    const text = await readFile(path, 'utf8').catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    });
    return new VmidMap(path, write, text === undefined ? new Map<number, VmidEntry>() : parse(path, text));
  }

  /** What is known of the VMID, undefined for one that is free as far as this map knows. */
  get(vmid: number): Readonly<VmidEntry> | undefined {
    return this.#entries.get(vmid);
  }

  /** All VMIDs that are not free, ascending. */
  entries(): [vmid: number, entry: Readonly<VmidEntry>][] {
    return [...this.#entries].sort(([a], [b]) => a - b);
  }

  /** Changes one entry, or removes it; when the file cannot be written the entry is as before, and the error is the write's. */
  async set(vmid: number, value: VmidEntry | undefined): Promise<void> {
    const before = this.#entries.get(vmid);
    this.#put(vmid, value);
    try {
      await this.#flush();
    } catch (error) {
      if (this.#entries.get(vmid) === value) this.#put(vmid, before);
      throw error;
    }
  }

  #put(vmid: number, value: VmidEntry | undefined): void {
    if (value === undefined) this.#entries.delete(vmid);
    else this.#entries.set(vmid, value);
  }

  async #flush(): Promise<void> {
    this.#next ??= this.#current
      .catch(() => undefined)
      .then(() => {
        this.#current = this.#next ?? this.#current;
        this.#next = undefined;
        const vmids = Object.fromEntries(this.entries());
        return this.#write(this.#path, `${JSON.stringify({ format: FORMAT, vmids }, null, 1)}\n`);
      });
    await this.#next;
  }
}

function parse(path: string, text: string): Map<number, VmidEntry> {
  const refuse = (problem: string, cause?: unknown): CriError =>
    new CriError(StatusCode.FAILED_PRECONDITION, `${path} ${problem}`, { cause });
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (error) {
    throw refuse('is not JSON: restore it, or remove it and then the guests of pods that no record names', error);
  }
  const format = z.object({ format: z.int() }).safeParse(content).data?.format ?? 0;
  if (format > FORMAT) throw refuse(`has format ${format}, of a newer version of this program: install that one again`);
  const { data, error } = stored.safeParse(content);
  if (data === undefined) throw refuse('is no map of VMIDs: restore it, or remove it', error);
  return new Map(Object.entries(data.vmids).map(([vmid, one]) => [Number(vmid), one]));
}
