/** The time, injectable for tests. */
export interface Clock {
  /** Nanoseconds since 1970. */
  now(): bigint;
  /** Resolves after `ms` milliseconds, or rejects with the signal's reason. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}
