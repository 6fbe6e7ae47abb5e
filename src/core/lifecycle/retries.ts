import type { Clock } from '../model/clock.ts';
import { messageOf } from '../../utils/errors.ts';
import type { Logger } from '../model/logger.ts';

/** Milliseconds before the first retry; each further one waits twice as long, up to the maximum. */
const FIRST_MS = 1000;
const MOST_MS = 300_000;

/**
 * Retries a failed operation of an object until it succeeds, with growing pauses; one series per id. No retry before
 * {@link start}.
 */
export class Retries {
  readonly #attempt: (id: string) => Promise<void>;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #scheduled = new Set<string>();
  #signal: AbortSignal | undefined;

  /** @param attempt rejects to be retried, resolves to end the series. */
  constructor(attempt: (id: string) => Promise<void>, { clock, logger }: { clock: Clock; logger: Logger }) {
    this.#attempt = attempt;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Starts a series for `id`, unless one is running. */
  schedule(id: string): void {
    if (this.#scheduled.has(id)) return;
    this.#scheduled.add(id);
    if (this.#signal !== undefined) void this.#repeat(id, this.#signal);
  }

  /** Lets the series run until `signal` fires, those scheduled before too. Called once. */
  start(signal: AbortSignal): void {
    this.#signal = signal;
    for (const id of this.#scheduled) void this.#repeat(id, signal);
  }

  /** Never rejects. */
  async #repeat(id: string, signal: AbortSignal): Promise<void> {
    for (let pause = FIRST_MS; ; pause = Math.min(2 * pause, MOST_MS)) {
      try {
        await this.#clock.sleep(pause, signal);
        await this.#attempt(id);
        break;
      } catch (error) {
        if (signal.aborted) break;
        this.#logger.warn('Retry failed', { id, error: messageOf(error) });
      }
    }
    this.#scheduled.delete(id);
  }
}
