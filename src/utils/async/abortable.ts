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
