/** A lock with two sides: any number of shared tasks run at once, an exclusive one runs alone. */
export class SharedLock {
  readonly #sharers = new Set<Promise<unknown>>();
  #exclusive: Promise<unknown> | undefined;

  /** Runs `task` beside other shared ones, after an exclusive one that runs or waits; resolves and rejects as the task does. */
  async shared<T>(task: () => Promise<T>): Promise<T> {
    while (this.#exclusive !== undefined) await Promise.allSettled([this.#exclusive]);
    const current = task();
    this.#sharers.add(current);
    try {
      return await current;
    } finally {
      this.#sharers.delete(current);
    }
  }

  /** Runs `task` when all earlier tasks have settled, while later ones wait; resolves and rejects as the task does. */
  async exclusive<T>(task: () => Promise<T>): Promise<T> {
    while (this.#exclusive !== undefined) await Promise.allSettled([this.#exclusive]);
    const current = Promise.allSettled(this.#sharers).then(task);
    this.#exclusive = current;
    try {
      return await current;
    } finally {
      this.#exclusive = undefined;
    }
  }
}
