import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileAtomic } from '../../../utils/fs/atomic.ts';
import { KeyedLock } from '../../../utils/async/keyed-lock.ts';
import { isErrno, messageOf } from '../../../utils/errors.ts';
import type { Logger } from '../../model/logger.ts';

const ARCHIVE = /\.(?:tar(?:\.(?:gz|xz|zst))?|tgz)$/;

/** What was read: size and time of each file, and the images found in it. */
const seenSchema = z.record(
  z.string(),
  z.object({ size: z.number(), mtimeMs: z.number(), ids: z.array(z.string()).nullable() }),
);
type Seen = z.output<typeof seenSchema>;

export interface ArchiveFolderOptions {
  folder: string;
  /** File in which is kept what was read, so that a restart does not read it all again. */
  memory: string;
  /** Takes in an archive and returns the ids of its images. */
  import: (path: string, signal?: AbortSignal) => Promise<string[]>;
  isPresent: (id: string) => boolean;
  logger: Logger;
}

/** A folder of archives that are to be in the store, for nodes without a registry. */
export class ArchiveFolder {
  readonly #options: ArchiveFolderOptions;
  readonly #lock = new KeyedLock();

  constructor(options: ArchiveFolderOptions) {
    this.#options = options;
  }

  /**
   * Takes in the archives that are new, have changed, or whose images are gone, and returns the ids of all their images. One
   * that cannot be read is reported, and tried again when it has changed.
   * @throws the signal's reason, and errors of the folder itself; none when it does not exist.
   */
  async scan(signal?: AbortSignal): Promise<Set<string>> {
    return this.#lock.run('scan', async () => {
      const before = await this.#remembered();
      const after: Seen = {};
      for (const name of await this.#names()) {
        signal?.throwIfAborted();
        after[name] = await this.#read(name, before[name], signal);
      }
      if (JSON.stringify(before) !== JSON.stringify(after)) {
        await writeFileAtomic(this.#options.memory, JSON.stringify(after));
      }
      return new Set(Object.values(after).flatMap(({ ids }) => ids ?? []));
    });
  }

  async #read(name: string, known: Seen[string] | undefined, signal?: AbortSignal): Promise<Seen[string]> {
    const { folder, isPresent, logger } = this.#options;
    const path = join(folder, name);
    const { size, mtimeMs } = await stat(path);
    const isSame = known?.size === size && known.mtimeMs === mtimeMs;
    if (isSame && (known.ids === null || known.ids.every(isPresent))) return known;
    try {
      return { size, mtimeMs, ids: await this.#options.import(path, signal) };
    } catch (error) {
      signal?.throwIfAborted();
      logger.error('Cannot take in an archive of images', { archive: path, error: messageOf(error) });
      return { size, mtimeMs, ids: null };
    }
  }

  async #names(): Promise<string[]> {
    try {
      return (await readdir(this.#options.folder)).filter((name) => ARCHIVE.test(name)).sort();
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return [];
      throw error;
    }
  }

  /** What cannot be read is forgotten: then everything is read again. */
  async #remembered(): Promise<Seen> {
    try {
      return seenSchema.parse(JSON.parse(await readFile(this.#options.memory, 'utf8')));
    } catch {
      return {};
    }
  }
}
