import { setTimeout as sleep } from 'node:timers/promises';

/**
 * One reading for all callers that come within `gatherMs` milliseconds of the first; a later one gets a new reading.
 * @param read throws to all of them.
 */
export function sharedRead<T>(gatherMs: number, read: () => Promise<T>): () => Promise<T> {
  let pending: Promise<T> | undefined;
  return () => {
    pending ??= sleep(gatherMs).then(() => {
      pending = undefined;
      return read();
    });
    return pending;
  };
}
