import type { Clock } from '../../model/clock.ts';
import type { Usage } from '../../model/rootfs.ts';

/** Nanoseconds that a measurement is good for: the kubelet asks every ten seconds. */
const AGE_NS = 10_000_000_000n;
/** A measurement holds for this many times as long as it took, so that counting never takes more than a twentieth of the time. */
const REST = 20n;
/** Containers with more inodes are counted one after the other, when all others have been. */
const LARGE = 10_000n;

/** What a container has written, and when that was measured (nanoseconds since 1970). */
export interface Measured extends Usage {
  at: bigint;
}

interface Entry {
  /** The first measurement, which everybody waits for. */
  first: Promise<Measured | undefined>;
  /** The last one; undefined until the first is there. */
  last: Measured | undefined;
  /** When it stops to hold. */
  until: bigint;
}

export interface WritableUsageOptions {
  /** Counts the files of one container; undefined when it has none. */
  measure: (id: string) => Promise<Usage | undefined>;
  clock: Clock;
  /** Told when a container cannot be counted: its last measurement stays. */
  onError: (id: string, error: unknown) => void;
}

/**
 * What containers have written, counted in the background and not more often than is cheap. Whoever asks gets the last
 * measurement at once, and has a new one made when that is old; only the first one is waited for.
 */
export class WritableUsage {
  readonly #options: WritableUsageOptions;
  readonly #entries = new Map<string, Entry>();
  #work: Promise<void> | undefined;

  constructor(options: WritableUsageOptions) {
    this.#options = options;
  }

  /** What one container has written. @throws what its first counting throws, which is tried again at the next call. */
  of(id: string): Promise<Measured | undefined> {
    const entry = this.#entries.get(id) ?? this.#begin(id);
    if (entry.last === undefined) return entry.first;
    this.#refresh();
    return Promise.resolve(entry.last);
  }

  /** What several containers have written together; `at` is the oldest of their times, now without any. */
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

  /** Forgets a container that is removed. */
  forget(id: string): void {
    this.#entries.delete(id);
  }

  /** Resolves when nothing is counted any more that was asked for. */
  async settled(): Promise<void> {
    while (this.#work) await this.#work;
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

  /** Counts in the background what is due, the small ones together, unless that is under way. */
  #refresh(): void {
    this.#work ??= this.#countDue().finally(() => (this.#work = undefined));
  }

  async #countDue(): Promise<void> {
    const now = this.#options.clock.now();
    const due = [...this.#entries].filter(([, { last, until }]) => last !== undefined && until <= now);
    const { large = [], small = [] } = Object.groupBy(due, ([, { last }]) =>
      (last?.inodes ?? 0n) > LARGE ? 'large' : 'small',
    );
    const again = ([id, entry]: [string, Entry]) =>
      this.#count(id, entry).catch((error: unknown) => {
        entry.until = this.#options.clock.now() + AGE_NS;
        this.#options.onError(id, error);
      });
    await Promise.all(small.map(again));
    for (const each of large) await again(each);
  }

  async #count(id: string, entry: Entry): Promise<Measured | undefined> {
    const { measure, clock } = this.#options;
    const at = clock.now();
    const usage = await measure(id);
    const end = clock.now();
    const rest = (end - at) * REST;
    entry.until = end + (rest > AGE_NS ? rest : AGE_NS);
    if (usage !== undefined) entry.last = { ...usage, at };
    return entry.last;
  }
}
