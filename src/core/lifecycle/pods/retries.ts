import type { Clock } from '../../model/clock.ts';
import { messageOf } from '../../../utils/errors.ts';
import type { Logger } from '../../model/logger.ts';

/** Milliseconds before the first repetition; each further one waits twice as long, up to the most. */
const FIRST_MS = 1000;
const MOST_MS = 300_000;

/**
 * Repeats what failed for an object until it succeeds, with growing pauses; one series an id at a time. Nothing is repeated
 * before {@link start}.
 */
export class Retries {
  readonly #attempt: (id: string) => Promise<void>;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #scheduled = new Set<string>();
  #signal: AbortSignal | undefined;

  /** @param attempt rejects to be repeated once more, resolves to end the series. */
  constructor(attempt: (id: string) => Promise<void>, { clock, logger }: { clock: Clock; logger: Logger }) {
    this.#attempt = attempt;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Begins a series for `id`, unless one goes on. */
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
        this.#logger.warn('A retry failed', { id, error: messageOf(error) });
      }
    }
    this.#scheduled.delete(id);
  }
}
