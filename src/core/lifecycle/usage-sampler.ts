import { Slots } from '../../utils/async/slots.ts';
import type { Clock } from '../model/clock.ts';
import type { ResourceUsage } from '../model/resource-usage.ts';

/** A sample of this age answers other requests as well. */
const FRESH_NS = 500_000_000n;
/** Samples that are taken at one time: others have their turn between them. */
const AT_ONCE = 16;
/** A rate over less time would be noise. */
const WINDOW_NS = 1_000_000_000n;
/** Samples that nobody has asked for so long are dropped, with those of objects that are gone. */
const FORGET_NS = 600_000_000_000n;

/** A sample, with the processor time a second since an earlier one, in nanoseconds; undefined without an earlier one. */
export type Sampled<T> = T & { cpuNanosecondsPerSecond: bigint | undefined };

interface Point {
  at: bigint;
  cpu: bigint | undefined;
}

interface Entry<T> {
  /** The last sample, or the one that is being taken. */
  current: Promise<Sampled<T> | undefined>;
  /** Monotonic time at which it was begun. */
  begun: bigint;
  /** Beginnings of the window of the next rate: the second one becomes the first when it is old enough. */
  points: readonly (Point | undefined)[];
}

/**
 * Takes samples of the usage of pods and containers when they are asked for: several requests at one time share one. Nothing is
 * read while nobody asks.
 */
export class UsageSampler<T extends { resources: ResourceUsage | undefined }> {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #entries = new Map<string, Entry<T>>();
  readonly #slots = new Slots(AT_ONCE);
  #swept = 0n;

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  /** A sample of at most half a second of age, taken by `read` where there is none. @throws what `read` throws. */
  sample(id: string, read: () => Promise<T | undefined>): Promise<Sampled<T> | undefined> {
    const now = this.#clock.monotonic();
    this.#sweep(now);
    const known = this.#entries.get(id);
    if (known !== undefined && now - known.begun < FRESH_NS) return known.current;
    const entry: Entry<T> = { current: Promise.resolve(undefined), begun: now, points: known?.points ?? [] };
    entry.current = this.#slots.run(id, undefined, () => this.#take(entry, read));
    this.#entries.set(id, entry);
    // One that failed answers nobody else.
    entry.current.catch(() => {
      entry.begun = now - FRESH_NS;
    });
    return entry.current;
  }

  async #take(entry: Entry<T>, read: () => Promise<T | undefined>): Promise<Sampled<T> | undefined> {
    const taken = await read();
    if (taken === undefined) return undefined;
    const point = { at: this.#clock.monotonic(), cpu: taken.resources?.cpuNanoseconds };
    const [base, next] = entry.points;
    if (next === undefined || point.at - next.at >= WINDOW_NS) entry.points = [next, point];
    const from = next !== undefined && point.at - next.at >= WINDOW_NS ? next : base;
    return { ...taken, cpuNanosecondsPerSecond: from && rate(from, point) };
  }

  #sweep(now: bigint): void {
    if (now - this.#swept < FORGET_NS) return;
    this.#swept = now;
    for (const [id, { begun }] of this.#entries) if (now - begun >= FORGET_NS) this.#entries.delete(id);
  }
}

function rate(from: Point, to: Point): bigint | undefined {
  // A counter that went back belongs to another cgroup of the same name.
  if (from.cpu === undefined || to.cpu === undefined || to.cpu < from.cpu || to.at <= from.at) return undefined;
  return ((to.cpu - from.cpu) * 1_000_000_000n) / (to.at - from.at);
}
