/** The sources of a clock: nanoseconds since 1970, and monotonic ones. */
export interface TimeSources {
  wall: () => bigint;
  monotonic: () => bigint;
}

/** The difference from which the wall clock counts as set: 100 ms. */
const JUMP_NS = 100_000_000n;

/**
 * Strictly increasing nanoseconds since 1970. They advance with the monotonic clock from a base, so that differences are exact;
 * when the wall clock is set, the base follows. When it is set back, the time almost stops until the wall clock has caught up:
 * the order of events has priority.
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
