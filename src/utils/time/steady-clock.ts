/** What a clock is made of: nanoseconds since 1970 and since an arbitrary moment, the latter never set. */
export interface TimeSources {
  wall: () => bigint;
  monotonic: () => bigint;
}

/** How far the two may drift apart before the wall clock is taken to have been set: 100 ms. */
const JUMP_NS = 100_000_000n;

/**
 * Nanoseconds since 1970 that never run backwards and never repeat. They advance with the monotonic clock from one base, so
 * that differences are right to the nanosecond; when the wall clock is set, the base follows. Set back, the time stands
 * nearly still until the wall clock has caught up: an order of events counts for more than the hour.
 */
export function steadyClock({ wall, monotonic }: TimeSources): () => bigint {
  let base = wall() - monotonic();
  let last = 0n;
  return () => {
    const passed = monotonic();
    const offset = wall() - passed;
    const drift = offset - base;
    if (drift > JUMP_NS || drift < -JUMP_NS) base = offset;
    const now = base + passed;
    last = now > last ? now : last + 1n;
    return last;
  };
}
