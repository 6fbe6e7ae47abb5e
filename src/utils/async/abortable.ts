import type { KeyedLock } from './keyed-lock.ts';

/**
 * Settles as `promise` does, or rejects with the signal's reason if that comes first; `promise` then continues by
 * itself.
 */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => {
      reject(signal.reason as Error);
    };
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    const done = () => {
      signal.removeEventListener('abort', abort);
    };
    promise
      .then(resolve, reject)
      .finally(done)
      .catch(() => undefined);
  });
}

/** `lock.run` whose wait ends with the signal. A started task is awaited: it observes the signal itself. */
export async function runLocked<T>(
  lock: KeyedLock,
  key: string,
  signal: AbortSignal | undefined,
  task: () => Promise<T>,
): Promise<T> {
  const begun = Promise.withResolvers<undefined>();
  const result = lock.run(key, () => {
    signal?.throwIfAborted();
    begun.resolve(undefined);
    return task();
  });
  const settled = result.catch(() => undefined);
  await abortable(Promise.race([begun.promise, settled]), signal);
  return result;
}

/**
 * Settles as `promise` does, or rejects with the signal's reason `graceMs` milliseconds after it fired; `promise` then continues
 * by itself.
 */
export function settlesSoonAfter<T>(signal: AbortSignal, graceMs: number, promise: Promise<T>): Promise<T> {
  const over = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const abort = () => {
    timer = setTimeout(() => {
      over.abort(signal.reason);
    }, graceMs);
  };
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort, { once: true });
  return abortable(promise, over.signal).finally(() => {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
  });
}

/**
 * Runs `work`, whose signal fires after `limitMs`. One that then goes on for more than `graceMs` is left to itself: a process
 * that waits for a device in the kernel does not end when it is killed.
 * @throws what `over` returns when the time is over; what `work` throws before.
 */
export async function withinLimit<T>(
  { limitMs, graceMs, over }: { limitMs: number; graceMs: number; over: () => Error },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const limit = new AbortController();
  const timer = setTimeout(() => {
    limit.abort(over());
  }, limitMs);
  try {
    return await settlesSoonAfter(limit.signal, graceMs, work(limit.signal));
  } catch (error) {
    limit.signal.throwIfAborted();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
