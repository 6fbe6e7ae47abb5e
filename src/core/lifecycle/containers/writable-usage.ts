import type { Clock } from '../../model/clock.ts';
import type { Usage } from '../../model/rootfs.ts';

/** Nanoseconds that a measurement is good for: the kubelet asks every ten seconds. */
const AGE_NS = 10_000_000_000n;
/** A measurement holds for this many times as long as it took, so that counting never takes more than a twentieth of the time. */
const REST = 20n;

/** What a container has written, and when that was measured (nanoseconds since 1970). */
export interface Measured extends Usage {
  at: bigint;
}

interface Measurement {
  /** When it stops to hold; undefined while it is under way. */
  until: bigint | undefined;
  result: Promise<Measured | undefined>;
}

/** Counts what containers have written, one at a time and not more often than is cheap. */
export class WritableUsage {
  readonly #measure: (id: string) => Promise<Usage | undefined>;
  readonly #clock: Clock;
  readonly #measurements = new Map<string, Measurement>();
  #last: Promise<unknown> = Promise.resolve();

  /** @param measure counts the files of one container; undefined when it has none. */
  constructor(measure: (id: string) => Promise<Usage | undefined>, clock: Clock) {
    this.#measure = measure;
    this.#clock = clock;
  }

  /** What one container has written. @throws what the counting throws, which is tried anew at the next call. */
  of(id: string): Promise<Measured | undefined> {
    const known = this.#measurements.get(id);
    if (known !== undefined && (known.until === undefined || this.#clock.now() < known.until)) return known.result;
    const measurement: Measurement = { until: undefined, result: this.#last.then(() => this.#count(measurement, id)) };
    this.#last = measurement.result.catch(() => this.#measurements.delete(id));
    this.#measurements.set(id, measurement);
    return measurement.result;
  }

  /** What several containers have written together; `at` is the oldest of their times, now without any. */
  async total(ids: readonly string[]): Promise<Measured> {
    const all = await Promise.all(ids.map((id) => this.of(id)));
    const sum: Measured = { bytes: 0n, inodes: 0n, at: this.#clock.now() };
    for (const one of all) {
      if (one === undefined) continue;
      sum.bytes += one.bytes;
      sum.inodes += one.inodes;
      if (one.at < sum.at) sum.at = one.at;
    }
    return sum;
  }

  /** Forgets a container that is removed. */
  forget(id: string): void {
    this.#measurements.delete(id);
  }

  async #count(measurement: Measurement, id: string): Promise<Measured | undefined> {
    const at = this.#clock.now();
    const usage = await this.#measure(id);
    const end = this.#clock.now();
    const rest = (end - at) * REST;
    measurement.until = end + (rest > AGE_NS ? rest : AGE_NS);
    return usage && { ...usage, at };
  }
}
