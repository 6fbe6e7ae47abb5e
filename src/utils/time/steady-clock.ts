/** The sources of a clock: nanoseconds since 1970, and monotonic ones. */
export interface TimeSources {
  wall: () => bigint;
  monotonic: () => bigint;
}

/** The difference from which the wall clock counts as set: 100 ms. */
const JUMP_NS = 100_000_000n;

/**
 * Strictly increasing nanoseconds since 1970. They advance with the monotonic clock from a base, so that differences are exact;
 * when the wall clock is set forward, the base follows. When it is set back, the time passes at half its speed until the wall
 * clock has caught up: the order of events has priority, and rates stay within twice the real ones.
 */
export function steadyClock({ wall, monotonic }: TimeSources): () => bigint {
  let before = monotonic();
  let base = wall() - before;
  let last = 0n;
  return () => {
    const passed = monotonic();
    const offset = wall() - passed;
    const drift = offset - base;
    if (drift > JUMP_NS) base = offset;
    else if (drift < -JUMP_NS) base -= least((passed - before) / 2n, -drift);
    before = passed;
    const now = base + passed;
    last = now > last ? now : last + 1n;
    return last;
  };
}

function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
