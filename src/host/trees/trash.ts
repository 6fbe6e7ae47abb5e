import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../../utils/errors.ts';
import { namesIn } from '../../utils/fs/names.ts';
import { diskUsage } from './disk-usage.ts';
import { removeTree } from './remove-tree.ts';

/** Milliseconds until a failed removal is retried. */
const RETRY_MS = 10_000;

/**
 * Removes trees in the background: a discarded tree disappears in one step, however many files it has. A failed removal
 * is reported and retried, and stays for {@link Trash.sweep}.
 */
export class Trash {
  readonly #directory: string;
  readonly #onError: (error: unknown) => void;
  #waiting: string[] = [];
  /** Trees on a read-only filesystem. */
  readonly #kept = new Set<string>();
  #work: Promise<void> | undefined;

  /** @param directory on the filesystem of the discarded trees; created when needed. */
  constructor(directory: string, onError: (error: unknown) => void) {
    this.#directory = directory;
    this.#onError = onError;
  }

  /**
   * Hides a tree; no error when there is none. On a full disk, where rename fails, it is removed immediately.
   * @param options.patient reports a read-only filesystem instead of failing, and tries again with later trees: for a path
   *   that is never used again.
   * @throws the error of rename(2), or of the removal on a full disk; the tree is then where it was.
   */
  async discard(path: string, { patient = false } = {}): Promise<void> {
    const hidden = join(this.#directory, randomUUID());
    try {
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      await rename(path, hidden);
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return;
      if (patient && isErrno(error, 'EROFS')) {
        this.#kept.add(path);
        this.#onError(error);
        return;
      }
      if (!isErrno(error, 'ENOSPC', 'EDQUOT')) {
        // A rename that was reported as failed may have succeeded, as on a network filesystem.
        this.#remove([hidden]);
        throw error;
      }
      await removeTree(path);
      return;
    }
    this.#remove([hidden]);
    const kept = [...this.#kept];
    this.#kept.clear();
    for (const one of kept) await this.discard(one, { patient: true });
  }

  /** Removes leftovers of an earlier process. Never fails: errors are reported. */
  async sweep(): Promise<void> {
    try {
      this.#remove((await readdir(this.#directory)).map((name) => join(this.#directory, name)));
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) this.#onError(error);
    }
  }

  /** What is still there, with the space that it takes. */
  async remains(): Promise<{ name: string; bytes: bigint }[]> {
    const paths = (await namesIn(this.#directory)).map((name) => join(this.#directory, name));
    const usages = await Promise.all(paths.map(diskUsage));
    return paths.flatMap((name, index) => {
      const usage = usages[index];
      return usage === undefined ? [] : [{ name, bytes: usage.bytes }];
    });
  }

  /** Resolves when everything discarded so far is removed or reported. */
  async emptied(): Promise<void> {
    while (this.#work) await this.#work;
  }

  #remove(paths: readonly string[]): void {
    this.#waiting.push(...paths);
    this.#work ??= this.#run().finally(() => (this.#work = undefined));
  }

  /** One command at a time, for all trees collected meanwhile. */
  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, 1000);
      await removeTree(...batch).catch((error: unknown) => {
        this.#onError(error);
        setTimeout(() => {
          this.#remove(batch);
        }, RETRY_MS).unref();
      });
    }
  }
}
