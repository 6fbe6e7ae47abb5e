import { abortable } from './abortable.ts';

/** One source for several readers. */
export interface SharedSource<T> {
  /** A reader, which gets all of it. */
  read: () => AsyncGenerator<T>;
  /** Ends the source, and readers that wait for more with this reason. */
  close: (reason: unknown) => void;
}

/**
 * Lets `count` readers have one source at the same pace: it is read when all of them have asked for more, so that nothing is kept.
 * One that asks for nothing any more halts the others until `close`.
 */
export function readTogether<T>(source: AsyncIterable<T>, count: number): SharedSource<T> {
  const iterator = source[Symbol.asyncIterator]();
  const closed = new AbortController();
  let asking = 0;
  let turn = Promise.withResolvers<IteratorResult<T>>();
  const next = (): Promise<IteratorResult<T>> => {
    const { promise, resolve } = turn;
    asking += 1;
    if (asking === count) {
      asking = 0;
      turn = Promise.withResolvers();
      resolve(iterator.next());
    }
    return abortable(promise, closed.signal);
  };
  const read = async function* () {
    for (let result = await next(); result.done !== true; result = await next()) yield result.value;
  };
  return {
    read,
    close: (reason) => {
      closed.abort(reason);
      // A generator that waits for its own source returns later.
      void iterator.return?.().catch(() => undefined);
    },
  };
}
