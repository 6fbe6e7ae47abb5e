import type { EventHub } from '../events/event-hub.ts';

/** Milliseconds that a pod without a started container counts as starting: a pull of its image may take much longer. */
const STARTING_MS = 5000;

/** Whether pods start or stop: work that can wait leaves the machine to them. */
export class PodActivity {
  #calls = 0;
  /** Pods none of whose containers has started, and since when. */
  readonly #starting = new Map<string, number>();
  /** Resolved and replaced when there may be less to do. */
  #less = Promise.withResolvers<undefined>();

  constructor(events: Pick<EventHub, 'subscribe'>) {
    events.subscribe(({ kind, containerId, sandboxId }) => {
      if (containerId === sandboxId && kind === 'started') this.#starting.set(sandboxId, performance.now());
      else if (kind !== 'created' && this.#starting.delete(sandboxId)) this.#change();
    });
  }

  /** Runs a task that starts or stops a pod. */
  async during<T>(task: () => Promise<T>): Promise<T> {
    this.#calls += 1;
    try {
      return await task();
    } finally {
      this.#calls -= 1;
      this.#change();
    }
  }

  /** Resolves when no pod starts or stops, after `limitMs` at the latest, or when `signal` fires. */
  async quiet(limitMs: number, signal: AbortSignal): Promise<void> {
    const enough = AbortSignal.any([signal, AbortSignal.timeout(limitMs)]);
    const over = new Promise<void>((resolve) => {
      enough.addEventListener('abort', () => {
        resolve();
      });
    });
    while (!enough.aborted && !this.#isQuiet()) await Promise.race([this.#less.promise, over]);
  }

  #isQuiet(): boolean {
    const old = performance.now() - STARTING_MS;
    for (const [id, since] of this.#starting) if (since < old) this.#starting.delete(id);
    return this.#calls === 0 && this.#starting.size === 0;
  }

  #change(): void {
    this.#less.resolve(undefined);
    this.#less = Promise.withResolvers<undefined>();
  }
}
