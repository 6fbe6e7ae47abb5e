import { fault } from '../http/api-error.ts';

interface Waiter {
  readonly go: () => void;
}

/** Locks of files by path: one holder each, the others wait in their order. */
export class Locks {
  readonly #waiting = new Map<string, Waiter[]>();

  /** Whether somebody holds the lock. */
  held(path: string): boolean {
    return this.#waiting.has(path);
  }

  /**
   * Runs `work` while holding the lock `path`.
   * @param timeout how long to wait for it, in milliseconds
   * @throws ApiError when it is not free in time, or `signal` interrupts the wait.
   */
  async with<T>(path: string, timeout: number, work: () => Promise<T> | T, signal?: AbortSignal): Promise<T> {
    await this.#take(path, timeout, signal);
    try {
      return await work();
    } finally {
      this.#give(path);
    }
  }

  #take(path: string, timeout: number, signal: AbortSignal | undefined): Promise<void> {
    const queue = this.#waiting.get(path);
    if (queue === undefined) {
      this.#waiting.set(path, []);
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const leave = (why: string): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', interrupted);
        const index = queue.indexOf(waiter);
        if (index >= 0) queue.splice(index, 1);
        reject(fault(`can't lock file '${path}' - ${why}`));
      };
      const interrupted = (): void => leave('received interrupt');
      const timer = setTimeout(() => leave('got timeout'), timeout);
      const waiter = {
        go: (): void => {
          clearTimeout(timer);
          signal?.removeEventListener('abort', interrupted);
          resolve();
        },
      };
      signal?.addEventListener('abort', interrupted);
      queue.push(waiter);
    });
  }

  #give(path: string): void {
    const next = this.#waiting.get(path)?.shift();
    if (next === undefined) this.#waiting.delete(path);
    else next.go();
  }
}
