import type { Clock } from '../model/clock.ts';

/** Nanoseconds that a measurement is valid: the kubelet requests it every ten seconds. */
const AGE_NS = 10_000_000_000n;
/** A measurement is valid for this multiple of its duration, so that measuring takes at most a twentieth of the time. */
const REST = 20n;
/** Milliseconds for which a caller waits for a first measurement: requests of the kubelet and crictl have time limits. */
const PATIENCE_MS = 5000;

/** What was measured, and when (nanoseconds since 1970). */
export type Measured<T> = T & { at: bigint };

interface Entry<T> {
  /** The first measurement, for which every caller waits a while. */
  first: Promise<Measured<T> | undefined>;
  /** The last one; undefined before the first. */
  last: Measured<T> | undefined;
  /** Monotonic time at which it expires. */
  until: bigint;
}

export interface MeasurementsOptions<T> {
  /** Measures one container; undefined when there is nothing of it. */
  measure: (id: string) => Promise<T | undefined>;
  /** Whether measuring takes long: these are measured one at a time, after all others. */
  isLarge: (measured: T) => boolean;
  clock: Clock;
  /** Called when a measurement fails; the last one stays. */
  onError: (id: string, error: unknown) => void;
}

/**
 * Figures of containers that take long to be measured, which is done in the background at a bounded rate. A caller receives the last measurement, and
 * starts a new one when it has expired; it waits only for the first one, and for no more than five seconds.
 */
export class Measurements<T extends object> {
  readonly #options: MeasurementsOptions<T>;
  readonly #entries = new Map<string, Entry<T>>();
  #work: Promise<void> | undefined;

  constructor(options: MeasurementsOptions<T>) {
    this.#options = options;
  }

  /**
   * The figures of one container; undefined while they are not known, because the first measurement takes long.
   * @throws the error of its first measurement, which the next call retries.
   */
  async of(id: string): Promise<Measured<T> | undefined> {
    const entry = this.#entries.get(id) ?? this.#begin(id);
    if (entry.last === undefined) return this.#patiently(entry.first);
    this.#refresh();
    return entry.last;
  }

  /** The last figures of one container, as {@link of}; a first measurement is begun, and not waited for. */
  latest(id: string): Measured<T> | undefined {
    const entry = this.#entries.get(id);
    if (entry === undefined) {
      this.#begin(id).first.catch((error: unknown) => {
        this.#options.onError(id, error);
      });
      return undefined;
    }
    if (entry.last !== undefined) this.#refresh();
    return entry.last;
  }

  /** Drops the measurements of a removed container. */
  forget(id: string): void {
    this.#entries.delete(id);
  }

  /** Resolves when all requested measurements are complete. */
  async settled(): Promise<void> {
    while (this.#work) await this.#work;
  }

  async #patiently(first: Promise<Measured<T> | undefined>): Promise<Measured<T> | undefined> {
    const timer = new AbortController();
    const over = this.#options.clock.sleep(PATIENCE_MS, timer.signal).then(
      () => undefined,
      () => undefined,
    );
    try {
      return await Promise.race([first, over]);
    } finally {
      timer.abort();
    }
  }

  #begin(id: string): Entry<T> {
    const entry: Entry<T> = { first: Promise.resolve(undefined), last: undefined, until: 0n };
    this.#entries.set(id, entry);
    const drop = () => {
      if (this.#entries.get(id) === entry) this.#entries.delete(id);
    };
    entry.first = this.#count(id, entry).then(
      (measured) => {
        if (measured === undefined) drop();
        return measured;
      },
      (error: unknown) => {
        drop();
        throw error;
      },
    );
    return entry;
  }

  /** Starts the due measurements in the background, small ones together, unless one is running. */
  #refresh(): void {
    this.#work ??= this.#countDue().finally(() => (this.#work = undefined));
  }

  async #countDue(): Promise<void> {
    const now = this.#options.clock.monotonic();
    const due = [...this.#entries].filter(([, { last, until }]) => last !== undefined && until <= now);
    const { large = [], small = [] } = Object.groupBy(due, ([, { last }]) =>
      last !== undefined && this.#options.isLarge(last) ? 'large' : 'small',
    );
    const again = ([id, entry]: [string, Entry<T>]) =>
      this.#count(id, entry).catch((error: unknown) => {
        entry.until = this.#options.clock.monotonic() + AGE_NS;
        this.#options.onError(id, error);
      });
    await Promise.all(small.map(again));
    for (const each of large) await again(each);
  }

  async #count(id: string, entry: Entry<T>): Promise<Measured<T> | undefined> {
    const { measure, clock } = this.#options;
    const at = clock.now();
    const begin = clock.monotonic();
    const measured = await measure(id);
    const end = clock.monotonic();
    const rest = (end - begin) * REST;
    entry.until = end + (rest > AGE_NS ? rest : AGE_NS);
    if (measured !== undefined) entry.last = { ...measured, at };
    return entry.last;
  }
}
