import * as z from 'zod';
import { KeyedLock } from '../../../utils/async/keyed-lock.ts';
import { messageOf } from '../../../utils/errors.ts';
import type { ArchiveDirectory, ArchiveFile } from '../../model/image-files.ts';
import type { Logger } from '../../model/logger.ts';

/** Imported archives: size and time of each file, and the ids of its images. */
const seenSchema = z.record(
  z.string(),
  z.object({ size: z.number(), mtimeMs: z.number(), ids: z.array(z.string()).nullable() }),
);
type Seen = z.output<typeof seenSchema>;

export interface ArchiveImportsOptions {
  /** Stores the imported archives, so that a restart does not read them again. */
  directory: ArchiveDirectory;
  /** Imports an archive and returns the ids of its images. */
  import: (path: string, signal?: AbortSignal) => Promise<string[]>;
  isPresent: (id: string) => boolean;
  logger: Logger;
}

/** Imports the archives of an {@link ArchiveDirectory}. */
export class ArchiveImports {
  readonly #options: ArchiveImportsOptions;
  readonly #lock = new KeyedLock();

  constructor(options: ArchiveImportsOptions) {
    this.#options = options;
  }

  /**
   * Imports archives that are new, have changed, or whose images were removed, and returns the ids of all their images. A failed
   * import is logged, and retried when the archive has changed.
   * @throws the signal's reason, and errors of the directory itself; none when it does not exist.
   */
  async scan(signal?: AbortSignal): Promise<Set<string>> {
    return this.#lock.run('scan', async () => {
      const before = await this.#remembered();
      const after: Seen = {};
      for (const file of await this.#options.directory.list()) {
        signal?.throwIfAborted();
        after[file.name] = await this.#read(file, before[file.name], signal);
      }
      if (JSON.stringify(before) !== JSON.stringify(after)) await this.#options.directory.imported.remember(after);
      return new Set(Object.values(after).flatMap(({ ids }) => ids ?? []));
    });
  }

  async #read(file: ArchiveFile, known: Seen[string] | undefined, signal?: AbortSignal): Promise<Seen[string]> {
    const { isPresent, logger } = this.#options;
    const { path, size, mtimeMs } = file;
    const isSame = known?.size === size && known.mtimeMs === mtimeMs;
    if (isSame && (known.ids === null || known.ids.every(isPresent))) return known;
    try {
      return { size, mtimeMs, ids: await this.#options.import(path, signal) };
    } catch (error) {
      signal?.throwIfAborted();
      logger.error('Importing an image archive failed', { archive: path, error: messageOf(error) });
      return { size, mtimeMs, ids: null };
    }
  }

  /** An unreadable state is dropped: then all archives are read again. */
  async #remembered(): Promise<Seen> {
    return seenSchema.safeParse(await this.#options.directory.imported.recall()).data ?? {};
  }
}
