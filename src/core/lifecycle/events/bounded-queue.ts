/** A bounded queue between a writer and one reader; drops its oldest items when full. */
export class BoundedQueue<T> {
  readonly #limit: number;
  readonly #onDropped: () => void;
  #items: T[] = [];
  #wake: () => void = () => undefined;

  /**
   * @param limit maximum number of items.
   * @param onDropped called for each dropped item.
   */
  constructor(limit: number, onDropped: () => void) {
    this.#limit = limit;
    this.#onDropped = onDropped;
  }

  push(item: T): void {
    this.#items.push(item);
    if (this.#items.length > this.#limit) {
      this.#items.shift();
      this.#onDropped();
    }
    this.#wake();
  }

  /** The items in their order, for one reader, until `signal` fires. */
  async *read(signal: AbortSignal): AsyncGenerator<T> {
    const stop = () => {
      this.#wake();
    };
    signal.addEventListener('abort', stop);
    try {
      while (!signal.aborted) {
        const items = this.#items;
        this.#items = [];
        yield* items;
        if (this.#items.length > 0) continue;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
          if (signal.aborted) resolve();
        });
      }
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }
}
