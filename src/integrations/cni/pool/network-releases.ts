import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../../../core/model/logger.ts';
import type { NetworkPoolParts } from '../../../core/model/network-pool.ts';
import type { KeyedLock } from '../../../utils/async/keyed-lock.ts';
import { messageOf } from '../../../utils/errors.ts';
import type { NetworkEntries, NetworkEntry } from './network-entries.ts';

/** Milliseconds that a network is released later at the most because pods start or stop. */
const WITHIN_MS = 1000;
/** Milliseconds before a release that failed is tried again; each further pause is twice as long, up to the most. */
const FIRST_MS = 1000;
const MOST_MS = 60_000;

export interface NetworkReleasesOptions {
  entries: NetworkEntries;
  /** Every network that has a record, by id. */
  known: Map<string, NetworkEntry>;
  locks: KeyedLock;
  /** DEL of a network's plugins in its namespace, if that is there. */
  detach: (entry: NetworkEntry, netns: string | undefined) => Promise<void>;
  logger: Logger;
}

/** Networks whose plugins' DEL has to follow, one after the other. */
export class NetworkReleases {
  readonly #options: NetworkReleasesOptions;
  readonly #queue: string[] = [];
  /** Milliseconds before the next attempt of those that failed. */
  readonly #pauses = new Map<string, number>();
  #running = 0;
  #signal: AbortSignal | undefined;
  /** Aborted: those that wait are released at once. */
  #hurry = new AbortController();
  /** Resolved and replaced at each change. */
  #changed = Promise.withResolvers<undefined>();

  constructor(options: NetworkReleasesOptions) {
    this.#options = options;
  }

  /** How many wait, or are being released; not those that have failed and are tried again. */
  get waiting(): number {
    return this.#queue.length + this.#running;
  }

  /** Has a network released soon. */
  add(id: string): void {
    this.#queue.push(id);
    this.#change();
  }

  /** Releases what is added until `signal` fires; what fails is logged and tried again. */
  async keep({ quiet }: Pick<NetworkPoolParts, 'quiet'>, signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#change());
    while (!signal.aborted) {
      if (this.#queue.length === 0) {
        this.#hurry = new AbortController();
        await this.#changed.promise;
        continue;
      }
      await quiet(WITHIN_MS, AbortSignal.any([signal, this.#hurry.signal]));
      if (isOver(signal)) return;
      const id = this.#queue.shift() ?? '';
      this.#running = 1;
      await this.release(id).catch((error: unknown) => {
        this.#retry(id, error, signal);
      });
      this.#running = 0;
      this.#change();
    }
  }

  /** Waits until each that waits has been released, or has failed to be; false when there is none, or nobody releases them. */
  async all(): Promise<boolean> {
    if (this.waiting === 0 || this.#signal?.aborted !== false) return false;
    this.#hurry.abort();
    while (this.waiting > 0 && !isOver(this.#signal)) await this.#changed.promise;
    return true;
  }

  /** Releases a network now, and removes its record. No error when there is none. @throws CriError UNAVAILABLE of its plugins. */
  async release(id: string): Promise<void> {
    const { known, locks, entries, detach } = this.#options;
    await locks.run(id, async () => {
      const entry = known.get(id);
      if (entry === undefined) return;
      // So that a server that is killed meanwhile does not adopt it.
      if (entry.configuration !== '') await entries.write({ ...entry, phase: 'releasing' });
      await detach(entry, entries.existing(id));
      await entries.remove(id);
      known.delete(id);
      this.#pauses.delete(id);
    });
  }

  #retry(id: string, error: unknown, signal: AbortSignal): void {
    if (signal.aborted) return;
    const retryMs = this.#pauses.get(id) ?? FIRST_MS;
    this.#pauses.set(id, Math.min(2 * retryMs, MOST_MS));
    this.#options.logger.warn('Releasing a network failed', { id, error: messageOf(error), retryMs });
    void sleep(retryMs, undefined, { signal, ref: false })
      .then(() => {
        this.add(id);
      })
      .catch(() => undefined);
  }

  #change(): void {
    this.#changed.resolve(undefined);
    this.#changed = Promise.withResolvers<undefined>();
  }
}

/** A signal that has fired since it was looked at. */
function isOver(signal: AbortSignal): boolean {
  return signal.aborted;
}
