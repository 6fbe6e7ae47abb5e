/** The time, injectable for tests. */
export interface Clock {
  /** Nanoseconds since 1970; each value is greater than the one before. */
  now(): bigint;
  /** Nanoseconds since some moment in the past, for durations: setting the wall clock does not change it. */
  monotonic(): bigint;
  /** Resolves after `ms` milliseconds, or rejects with the signal's reason. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}
