import { setTimeout as sleep } from 'node:timers/promises';

/** Milliseconds in which keys are gathered: a server measures all its containers at once. */
const GATHER_MS = 5;

interface Gathered<V> {
  keys: Set<string>;
  values: Promise<ReadonlyMap<string, V>>;
}

/**
 * Reads values by key, many in one call of `read`: those that are asked for within 5 milliseconds of the first. Whoever comes
 * later, or when there are `limit` keys, starts another call.
 * @param read the values of these keys, each named once; what it throws is thrown to all who wait for it.
 * @returns a function that resolves to the value of a key; undefined when `read` has found none.
 */
export function gatheredRead<V>(
  read: (keys: string[]) => Promise<ReadonlyMap<string, V>>,
  limit = Infinity,
): (key: string) => Promise<V | undefined> {
  let open: Gathered<V> | undefined;
  const gather = (): Gathered<V> => {
    const keys = new Set<string>();
    const values = sleep(GATHER_MS).then(() => {
      if (open?.keys === keys) open = undefined;
      return read([...keys]);
    });
    return { keys, values };
  };
  return async (key) => {
    if (open === undefined || open.keys.size >= limit) open = gather();
    open.keys.add(key);
    return (await open.values).get(key);
  };
}
