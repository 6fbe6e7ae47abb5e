import type { Clock } from '../../model/clock.ts';
import type { Usage } from '../../model/rootfs.ts';

/** Nanoseconds that a measurement is valid: the kubelet requests it every ten seconds. */
const AGE_NS = 10_000_000_000n;
/** A measurement is valid for this multiple of its duration, so that measuring takes at most a twentieth of the time. */
const REST = 20n;
/** Milliseconds for which a caller waits for a first measurement: requests of the kubelet and crictl have time limits. */
const PATIENCE_MS = 5000;
/** Containers with more inodes are measured one at a time, after all others. */
const LARGE = 10_000n;

/** The disk usage of a container, and the time of the measurement (nanoseconds since 1970). */
export interface Measured extends Usage {
  at: bigint;
}

interface Entry {
  /** The first measurement, for which every caller waits a while. */
  first: Promise<Measured | undefined>;
  /** The last one; undefined before the first. */
  last: Measured | undefined;
  /** Monotonic time at which it expires. */
  until: bigint;
}

export interface WritableUsageOptions {
  /** Measures the files of one container; undefined when it has none. */
  measure: (id: string) => Promise<Usage | undefined>;
  clock: Clock;
  /** Called when a measurement fails; the last one stays. */
  onError: (id: string, error: unknown) => void;
}

/**
 * The disk usage of containers, measured in the background at a bounded rate. A caller receives the last measurement, and
 * starts a new one when it has expired; it waits only for the first one, and for no more than five seconds.
 */
export class WritableUsage {
  readonly #options: WritableUsageOptions;
  readonly #entries = new Map<string, Entry>();
  #work: Promise<void> | undefined;

  constructor(options: WritableUsageOptions) {
    this.#options = options;
  }

  /**
   * The disk usage of one container; undefined while it is not known, because the first measurement takes long.
   * @throws the error of its first measurement, which the next call retries.
   */
  async of(id: string): Promise<Measured | undefined> {
    const entry = this.#entries.get(id) ?? this.#begin(id);
    if (entry.last === undefined) return this.#patiently(entry.first);
    this.#refresh();
    return entry.last;
  }

  /** The total disk usage of those containers for which it is known; `at` is the oldest of their times, now without any. */
  async total(ids: readonly string[]): Promise<Measured> {
    const { clock, onError } = this.#options;
    const one = (id: string) =>
      this.of(id).catch((error: unknown) => {
        onError(id, error);
        return undefined;
      });
    const all = await Promise.all(ids.map(one));
    const sum: Measured = { bytes: 0n, inodes: 0n, at: clock.now() };
    for (const each of all) {
      if (each === undefined) continue;
      sum.bytes += each.bytes;
      sum.inodes += each.inodes;
      if (each.at < sum.at) sum.at = each.at;
    }
    return sum;
  }

  /** Drops the measurements of a removed container. */
  forget(id: string): void {
    this.#entries.delete(id);
  }

  /** Resolves when all requested measurements are complete. */
  async settled(): Promise<void> {
    while (this.#work) await this.#work;
  }

  async #patiently(first: Promise<Measured | undefined>): Promise<Measured | undefined> {
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

  #begin(id: string): Entry {
    const entry: Entry = { first: Promise.resolve(undefined), last: undefined, until: 0n };
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
      (last?.inodes ?? 0n) > LARGE ? 'large' : 'small',
    );
    const again = ([id, entry]: [string, Entry]) =>
      this.#count(id, entry).catch((error: unknown) => {
        entry.until = this.#options.clock.monotonic() + AGE_NS;
        this.#options.onError(id, error);
      });
    await Promise.all(small.map(again));
    for (const each of large) await again(each);
  }

  async #count(id: string, entry: Entry): Promise<Measured | undefined> {
    const { measure, clock } = this.#options;
    const at = clock.now();
    const begin = clock.monotonic();
    const usage = await measure(id);
    const end = clock.monotonic();
    const rest = (end - begin) * REST;
    entry.until = end + (rest > AGE_NS ? rest : AGE_NS);
    if (usage !== undefined) entry.last = { ...usage, at };
    return entry.last;
  }
}
