/** Runs a limited number of concurrent tasks; the others wait in the order of their calls. */
export class Semaphore {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(slots: number) {
    this.#free = slots;
  }

  /** Runs `task` when a slot is free. @throws the signal's reason when it is aborted while waiting. */
  async run<T>(task: () => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    if (this.#free > 0) this.#free--;
    else await this.#wait(signal);
    try {
      return await task();
    } finally {
      const [next] = this.#waiting;
      // The slot passes to the task that waits longest.
      if (next) next();
      else this.#free++;
    }
  }

  #wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.#waiting.delete(go);
        reject(signal.reason as Error);
      };
      const go = () => {
        this.#waiting.delete(go);
        signal.removeEventListener('abort', abort);
        resolve();
      };
      this.#waiting.add(go);
      signal.addEventListener('abort', abort, { once: true });
    });
  }
}
