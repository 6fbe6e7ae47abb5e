import { type FSWatcher, watch } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KeptValue, WatchedDirectory, WatchedFile } from '../../../core/model/image-files.ts';
import { accessPath } from '../files/patient-file.ts';
import { BfcDirectory } from './bfc-directory.ts';
import { Growth, type GrowthLimits } from './growth.ts';

/** Milliseconds from a change to the look at it: a copy changes its file many times. */
const QUIET_MS = 250;
/** Milliseconds between two looks at a directory that reports no changes. */
const LOOK_MS = 5000;
/**
 * Filesystems that report changes (statfs(2)): ext2 to ext4, XFS, btrfs, tmpfs, overlayfs, ZFS, f2fs. Of others, changes by another node
 * are not reported, and one whose server is away would hold up inotify_add_watch, which Node.js calls in its main thread.
 */
const REPORTING: ReadonlySet<number> = new Set([
  0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x794c7630, 0x2fc12fc1, 0xf2f52010,
]);

export interface WatchedBfcDirectoryOptions extends GrowthLimits {
  path: string;
  imported: KeptValue;
  /** Milliseconds for one access, by default 10,000. */
  accessMs?: number;
  /** Milliseconds between two looks where no changes are reported, by default 5,000. */
  lookMs?: number;
}

/** A directory of BFC files, watched where its filesystem reports changes, and read every few seconds elsewhere. */
export class WatchedBfcDirectory implements WatchedDirectory {
  readonly imported: KeptValue;
  readonly #directory: BfcDirectory;
  readonly #accessMs: number | undefined;
  readonly #growth: Growth;
  readonly #lookMs: number;
  #watcher: FSWatcher | undefined;
  /** Aborted by a change. */
  #change = new AbortController();

  constructor({ path, imported, accessMs, lookMs = LOOK_MS, ...limits }: WatchedBfcDirectoryOptions) {
    this.imported = imported;
    this.#directory = new BfcDirectory(path, { limitMs: accessMs });
    this.#accessMs = accessMs;
    this.#lookMs = lookMs;
    this.#growth = new Growth(limits);
  }

  list(): Promise<WatchedFile[]> {
    return this.#directory.list();
  }

  isGrowing(file: WatchedFile): boolean {
    return this.#growth.isGrowing(file);
  }

  async changed(limitMs: number, signal: AbortSignal): Promise<void> {
    // What changed before the watch began was not reported.
    if (!signal.aborted && this.#watcher === undefined && (await this.#watch())) return;
    const waitMs = this.#watcher === undefined ? Math.min(limitMs, this.#lookMs) : limitMs;
    const isOver = await pause(waitMs, AbortSignal.any([signal, this.#change.signal]));
    if (!isOver) await pause(QUIET_MS, signal);
    this.#change = new AbortController();
    if (isOver || signal.aborted) this.#unwatch();
  }

  /** Returns whether there is a watch now. */
  async #watch(): Promise<boolean> {
    const { path } = this.#directory;
    try {
      const { type } = await accessPath(path, () => statfs(path), this.#accessMs);
      if (!REPORTING.has(type)) return false;
      const watcher = watch(path, { persistent: false }, (event) => {
        this.#change.abort();
        // A file has come or gone, or the directory itself.
        if (event === 'rename' && this.#watcher === watcher) this.#unwatch();
      });
      watcher.on('error', () => undefined);
      this.#watcher = watcher;
      return true;
    } catch {
      // It does not exist, or no more watches can be made: it is read every few seconds.
      return false;
    }
  }

  #unwatch(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }
}

/** Returns whether the time is over, and not the wait ended by the signal. */
async function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  return sleep(ms, true, { signal, ref: false }).catch(() => false);
}
