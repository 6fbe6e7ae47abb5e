import { setTimeout as delay } from 'node:timers/promises';

/** The machine's clock (core/model's Clock). */
export const systemClock = {
  // Milliseconds from the wall clock, the digits below from the monotonic one: ids of equal milliseconds stay apart.
  now: (): bigint => BigInt(Date.now()) * 1_000_000n + (process.hrtime.bigint() % 1_000_000n),
  sleep: async (ms: number, signal?: AbortSignal): Promise<void> => {
    await delay(ms, undefined, { signal });
  },
};
