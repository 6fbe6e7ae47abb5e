import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../../core/model/clock.ts';

/** The machine's clock. */
export const systemClock: Clock = {
  // Milliseconds from the wall clock, the digits below from the monotonic one: ids of equal milliseconds stay apart.
  now: () => BigInt(Date.now()) * 1_000_000n + (process.hrtime.bigint() % 1_000_000n),
  sleep: async (ms, signal) => {
    await delay(ms, undefined, { signal });
  },
};
