/** Lets one waiter sleep until it is woken. A wake between two pauses is not lost. */
export class Waker {
  #changed = false;
  #resolve: () => void = () => undefined;

  wake(): void {
    this.#changed = true;
    this.#resolve();
  }

  /** Resolves on `wake` (also one since the last pause), or after `ms` in case a change was missed. */
  async pause(ms: number): Promise<void> {
    if (!this.#changed) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        this.#resolve = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#changed = false;
  }
}
