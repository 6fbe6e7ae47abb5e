import { watch } from 'node:fs';
import type { FSWatcher } from 'node:fs';
import { messageOf } from '../../../utils/errors.ts';
import type { Logger } from '../../../core/model/logger.ts';
import { isContainerId } from '../paths.ts';

/** Milliseconds between two scans: for events that inotify lost, and containers whose monitor died. */
const SCAN_INTERVAL_MS = 10_000;
/** The same where the machine has no inotify instance left (fs.inotify.max_user_instances). */
const SCAN_INTERVAL_WITHOUT_INOTIFY_MS = 500;

export interface ExitWatcherOptions {
  /** The directory of the exit files; it exists. */
  directory: string;
  /** Called with the id whose exit file has appeared; calls for one id may repeat. */
  appeared: (id: string) => Promise<void>;
  /** Called periodically to check every container. */
  scan: () => Promise<void>;
  logger: Logger;
}

/** Notices exit files at once by inotify, and everything else within ten seconds. Does not keep the process alive. */
export class ExitWatcher {
  readonly #options: ExitWatcherOptions;
  #watch: FSWatcher | undefined;
  #timer: NodeJS.Timeout;
  #scanning = false;

  /** Watches from now on. */
  constructor(options: ExitWatcherOptions) {
    this.#options = options;
    this.#timer = this.#scanEvery(SCAN_INTERVAL_MS);
    try {
      this.#watch = watch(options.directory, { persistent: false }, (_event, name) => {
        if (name === null) this.#guard(this.#scan());
        else if (isContainerId(name)) this.#guard(options.appeared(name));
      });
      this.#watch.on('error', (error) => {
        this.#goWithoutInotify(error);
      });
    } catch (error) {
      this.#goWithoutInotify(error);
    }
  }

  close(): void {
    this.#watch?.close();
    clearInterval(this.#timer);
  }

  #goWithoutInotify(error: unknown): void {
    const problem = { directory: this.#options.directory, error: messageOf(error) };
    this.#options.logger.warn('inotify unavailable; exits are polled twice a second', problem);
    clearInterval(this.#timer);
    this.#timer = this.#scanEvery(SCAN_INTERVAL_WITHOUT_INOTIFY_MS);
  }

  #scanEvery(ms: number): NodeJS.Timeout {
    return setInterval(() => {
      this.#guard(this.#scan());
    }, ms).unref();
  }

  async #scan(): Promise<void> {
    if (this.#scanning) return;
    this.#scanning = true;
    try {
      await this.#options.scan();
    } finally {
      this.#scanning = false;
    }
  }

  #guard(work: Promise<void>): void {
    work.catch((error: unknown) => {
      this.#options.logger.error('Reading an exit failed; it is retried', { error: messageOf(error) });
    });
  }
}
