/** A bounded queue between a writer and one reader; drops its oldest items when full. */
export class BoundedQueue<T> {
  readonly #limit: number;
  readonly #weigh: (item: T) => number;
  readonly #onDropped: () => void;
  readonly #items: T[] = [];
  #weight = 0;
  #wake: () => void = () => undefined;

  /**
   * @param limit maximum weight of all items; the newest stays whatever it weighs.
   * @param weigh the weight of an item, the same at each call.
   * @param onDropped called for each dropped item.
   */
  constructor(limit: number, weigh: (item: T) => number, onDropped: () => void) {
    this.#limit = limit;
    this.#weigh = weigh;
    this.#onDropped = onDropped;
  }

  push(item: T): void {
    this.#items.push(item);
    this.#weight += this.#weigh(item);
    while (this.#weight > this.#limit && this.#items.length > 1) {
      this.#take();
      this.#onDropped();
    }
    this.#wake();
  }

  #take(): T | undefined {
    const item = this.#items.shift();
    if (item !== undefined) this.#weight -= this.#weigh(item);
    return item;
  }

  /** The items in their order, for one reader, until `signal` fires. */
  async *read(signal: AbortSignal): AsyncGenerator<T> {
    const stop = () => {
      this.#wake();
    };
    signal.addEventListener('abort', stop);
    try {
      while (!signal.aborted) {
        const item = this.#take();
        if (item !== undefined) {
          yield item;
          continue;
        }
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
