import { abortable } from './abortable.ts';

interface Waiting {
  resume: () => void;
}

/**
 * A number of places for work. Whoever waits is served by turns: one of each key, then the next of each, so that a caller
 * with a thousand calls delays another by one call and not by a thousand.
 */
export class Slots {
  #free: number;
  readonly #queues = new Map<string, Waiting[]>();

  constructor(count: number) {
    this.#free = count;
  }

  /** Runs `work` once there is a place. @throws the signal's reason, if that comes before a place. */
  async run<T>(key: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    await this.#enter(key, signal);
    try {
      return await work();
    } finally {
      this.#leave();
    }
  }

  async #enter(key: string, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (this.#free > 0) {
      this.#free--;
      return;
    }
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const waiting: Waiting = {
      resume: () => {
        resolve(undefined);
      },
    };
    this.#queues.set(key, [...(this.#queues.get(key) ?? []), waiting]);
    try {
      await abortable(promise, signal);
    } catch (error) {
      // A place that was given in the meantime goes to the next.
      if (!this.#forget(key, waiting)) this.#leave();
      throw error;
    }
  }

  /** Gives the place to the first of the key that has waited longest for a turn. */
  #leave(): void {
    const [first] = this.#queues;
    if (!first) {
      this.#free++;
      return;
    }
    const [key, queue] = first;
    const next = queue.shift();
    this.#queues.delete(key);
    if (queue.length > 0) this.#queues.set(key, queue);
    next?.resume();
  }

  #forget(key: string, waiting: Waiting): boolean {
    const queue = this.#queues.get(key);
    const index = queue?.indexOf(waiting) ?? -1;
    if (!queue || index < 0) return false;
    queue.splice(index, 1);
    if (queue.length === 0) this.#queues.delete(key);
    return true;
  }
}
