import { unavailable } from '../../../core/model/errors.ts';
import { abortable } from '../../../utils/async/abortable.ts';
import { Slots } from '../../../utils/async/slots.ts';
import { type ByteFile, openByteFile } from './byte-file.ts';

/** Time limit in milliseconds for one access: more than any working filesystem needs. */
const LIMIT_MS = 10_000;

/**
 * Accesses at the same time. A stalled filesystem keeps the threads that wait for it, and Node.js has four for all files of this
 * process.
 */
const slots = new Slots(2);

/**
 * Accesses a path that may be on a filesystem that stalls, as those of a network do while their server is away.
 * @param limitMs milliseconds, by default 10,000, with the wait for others. @throws CriError UNAVAILABLE after them; what `work` throws.
 */
export async function accessPath<T>(path: string, work: () => Promise<T>, limitMs = LIMIT_MS): Promise<T> {
  const limit = new AbortController();
  const timer = setTimeout(() => {
    limit.abort(
      unavailable(`${JSON.stringify(path)} has not answered for ${limitMs / 1000} s; is its filesystem stalled?`),
    );
  }, limitMs);
  try {
    return await abortable(slots.run(path, limit.signal, work), limit.signal);
  } finally {
    clearTimeout(timer);
  }
}

/** A file of which each access has a time limit. */
export class PatientFile implements ByteFile {
  readonly #file: ByteFile;
  readonly #limitMs: number | undefined;
  #running = 0;
  #failure: Error | undefined;

  private constructor(file: ByteFile, limitMs: number | undefined) {
    this.#file = file;
    this.#limitMs = limitMs;
  }

  /** @param limitMs as in {@link accessPath}. @throws CriError UNAVAILABLE, and as {@link openByteFile}. */
  static async open(path: string, limitMs?: number): Promise<PatientFile> {
    const opening = Promise.withResolvers<ByteFile>();
    const open = async () => {
      opening.resolve(openByteFile(path));
      return opening.promise;
    };
    try {
      return new PatientFile(await accessPath(path, open, limitMs), limitMs);
    } catch (error) {
      // It may still open, when the filesystem answers again.
      opening.promise.then((file) => file.close()).catch(() => undefined);
      throw error;
    }
  }

  get name(): string {
    return this.#file.name;
  }

  get size(): number {
    return this.#file.size;
  }

  /** After a failure every read fails: one that stalls may still write into its buffer, which the caller uses again. */
  async read(offset: number, length: number, into?: Buffer): Promise<Buffer> {
    if (this.#failure) throw this.#failure;
    const work = async () => {
      this.#running++;
      try {
        return await this.#file.read(offset, length, into);
      } finally {
        this.#running--;
      }
    };
    try {
      return await accessPath(this.name, work, this.#limitMs);
    } catch (error) {
      this.#failure = error as Error;
      throw error;
    }
  }

  /** A read that stalls is not waited for: the file is closed when it ends. */
  async close(): Promise<void> {
    const closed = this.#file.close();
    if (this.#running === 0) await closed;
    else closed.catch(() => undefined);
  }
}
