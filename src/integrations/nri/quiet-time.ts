import { LostCallError } from './wire/methods.ts';

/** Lets changes run beside each other, and something else when none of them does. */
export class QuietTime {
  readonly #changes = new Set<Promise<unknown>>();
  #quiet: Promise<void> | undefined;

  /** Runs a change, after a quiet time that has begun or is awaited. */
  async change<T>(task: () => Promise<T>): Promise<T> {
    while (this.#quiet !== undefined) await this.#quiet;
    const current = task();
    this.#changes.add(current);
    try {
      return await current;
    } finally {
      this.#changes.delete(current);
    }
  }

  /**
   * Runs `task` when the changes at work have ended, while later ones wait.
   * @throws LostCallError when they have not within `limitMs`: one that hangs must not hold up all others.
   */
  async quiet<T>(limitMs: number, task: () => Promise<T>): Promise<T> {
    while (this.#quiet !== undefined) await this.#quiet;
    const end = Promise.withResolvers<undefined>();
    this.#quiet = end.promise;
    const over = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      over.reject(new LostCallError(`a change of a pod or container did not end within ${String(limitMs / 1000)} s`));
    }, limitMs);
    try {
      await Promise.race([Promise.allSettled(this.#changes), over.promise]);
      clearTimeout(timer);
      return await task();
    } finally {
      clearTimeout(timer);
      this.#quiet = undefined;
      end.resolve(undefined);
    }
  }
}
