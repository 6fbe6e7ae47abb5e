import { setTimeout as delay } from 'node:timers/promises';
import { steadyClock } from './steady-clock.ts';

/** The machine's clock (core/model's Clock). */
export const systemClock = {
  now: steadyClock({ wall: () => BigInt(Date.now()) * 1_000_000n, monotonic: () => process.hrtime.bigint() }),
  monotonic: () => process.hrtime.bigint(),
  sleep: async (ms: number, signal?: AbortSignal): Promise<void> => {
    await delay(ms, undefined, { signal });
  },
};
