import * as z from 'zod';
import { messageOf } from '../../../utils/errors.ts';
import { CriError, StatusCode } from '../../model/errors.ts';
import type { WatchedDirectory, WatchedFile } from '../../model/image-files.ts';
import type { Logger } from '../../model/logger.ts';

/** Milliseconds between two looks when nothing changes. */
const IDLE_MS = 60_000;
/** Milliseconds after which a file is tried again that is being copied. */
const COPY_MS = 1000;
/** The same of an import that failed because space lacks or a filesystem stalls. */
const RETRY_MS = 60_000;

/** Imported files by path: the key of each, and the ids of its images. */
const importedSchema = z.record(z.string(), z.object({ key: z.string(), ids: z.array(z.string()) }));
type Imported = Map<string, z.output<typeof importedSchema>[string]>;

/** An import that failed. */
interface Failure {
  key: string;
  /** When it is tried again, by `performance.now()`; without it, when another file comes or goes. */
  retryAt: number | undefined;
  /** What has been logged. */
  logged: StatusCode | undefined;
}

export interface WatchedImportsOptions {
  directory: WatchedDirectory;
  /** Imports a file and returns the ids of its images. */
  import: (path: string, signal: AbortSignal) => Promise<string[]>;
  /** Whether an image has been lost, which is not the same as removed. */
  isLost: (id: string) => boolean;
  logger: Logger;
}

/**
 * Imports the files of a {@link WatchedDirectory}, each content once: an image that was removed since then comes back by a pull or when
 * its file changes.
 */
export class WatchedImports {
  readonly #options: WatchedImportsOptions;
  readonly #failures = new Map<string, Failure>();
  #imported: Imported | undefined;
  /** Paths and keys of the files at the last look. */
  #listed = '';
  /** Why the directory could not be read, which is logged once. */
  #problem: string | undefined;

  constructor(options: WatchedImportsOptions) {
    this.#options = options;
  }

  /** Imports what is there and what comes, until the signal. Never rejects: errors are logged, once for each file. */
  async keep(signal: AbortSignal): Promise<void> {
    const { directory } = this.#options;
    while (!signal.aborted) {
      let waitMs = IDLE_MS;
      try {
        waitMs = await this.#look(signal);
        this.#problem = undefined;
      } catch (error) {
        this.#report(messageOf(error), signal);
      }
      await directory.changed(waitMs, signal);
    }
  }

  #report(problem: string, signal: AbortSignal): void {
    if (signal.aborted) return;
    if (problem !== this.#problem) this.#options.logger.error('Importing files of images failed', { error: problem });
    this.#problem = problem;
  }

  /**
   * Imports what is new. Returns the milliseconds until the next look, unless something changes before. @throws errors of the directory
   * and its memory; the signal's reason.
   */
  async #look(signal: AbortSignal): Promise<number> {
    const imported = (this.#imported ??= await this.#recall());
    const files = await this.#options.directory.list();
    this.#forget(imported, files);
    const hasOthers = this.#notice(files);
    let isAgain = false;
    for (const file of files) {
      if (imported.get(file.path)?.key === file.key) continue;
      const failure = this.#failures.get(file.path);
      const isDue = failure?.retryAt === undefined ? hasOthers : performance.now() >= failure.retryAt;
      if (failure?.key === file.key && !isDue) continue;
      if (await this.#import(file, imported, signal)) isAgain = true;
    }
    if (isAgain) return 0;
    const retries = [...this.#failures.values()].flatMap(({ retryAt }) => retryAt ?? []);
    return Math.max(0, Math.min(IDLE_MS, ...retries.map((at) => at - performance.now())));
  }

  /** Whether there are other complete files than at the last look: they may have layers that a file lacks. */
  #notice(files: readonly WatchedFile[]): boolean {
    const complete = files.filter(({ path }) => this.#failures.get(path)?.retryAt === undefined);
    const listed = JSON.stringify(complete.map(({ path, key }) => [path, key]));
    const hasOthers = listed !== this.#listed;
    this.#listed = listed;
    return hasOthers;
  }

  /** Returns whether it succeeded. @throws the signal's reason, errors of the memory. */
  async #import(file: WatchedFile, imported: Imported, signal: AbortSignal): Promise<boolean> {
    const { path, key } = file;
    const { directory, logger } = this.#options;
    let ids: string[];
    try {
      ids = await this.#options.import(path, signal);
    } catch (error) {
      signal.throwIfAborted();
      this.#failures.set(path, this.#failed(file, error as Error));
      return false;
    }
    this.#failures.delete(path);
    imported.set(path, { key, ids });
    await directory.imported.remember(Object.fromEntries(imported));
    logger.info('File of images imported', { file: path, images: ids });
    return true;
  }

  #failed(file: WatchedFile, error: Error): Failure {
    const { path, key } = file;
    const before = this.#failures.get(path);
    const logged = before?.key === key ? before.logged : undefined;
    const inMs = (ms: number) => performance.now() + ms;
    // How a file looks that is being copied depends on the program that copies it.
    if (this.#options.directory.isGrowing(file)) return { key, logged, retryAt: inMs(COPY_MS) };
    const code = error instanceof CriError ? error.code : StatusCode.UNKNOWN;
    const passes = code === StatusCode.UNAVAILABLE || code === StatusCode.RESOURCE_EXHAUSTED;
    if (code !== logged)
      this.#options.logger.error('Importing a file of images failed', { file: path, error: messageOf(error) });
    return { key, logged: code, retryAt: passes ? inMs(RETRY_MS) : undefined };
  }

  /** What belongs to files that are gone. */
  #forget(imported: Imported, files: readonly WatchedFile[]): void {
    const paths = new Set(files.map(({ path }) => path));
    for (const path of this.#failures.keys()) if (!paths.has(path)) this.#failures.delete(path);
    for (const path of imported.keys()) if (!paths.has(path)) imported.delete(path);
  }

  /** An unreadable memory is dropped: then all files are imported again. */
  async #recall(): Promise<Imported> {
    const stored = importedSchema.safeParse(await this.#options.directory.imported.recall()).data ?? {};
    return new Map(Object.entries(stored).filter(([, { ids }]) => !ids.some((id) => this.#options.isLost(id))));
  }
}
