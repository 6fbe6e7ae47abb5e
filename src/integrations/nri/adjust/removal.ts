/** A key of an adjustment: a "-" before it removes what has it. */
export interface MarkedKey {
  key: string;
  isRemoval: boolean;
}

/** Reads a key as plugins write it. */
export function parseKey(text: string): MarkedKey {
  return text.startsWith('-') ? { key: text.slice(1), isRemoval: true } : { key: text, isRemoval: false };
}

/** The changes of a plugin to a list whose entries have keys. */
export interface KeyedChanges<T> {
  /** Keys to remove, with the entries that say so. */
  removed: Map<string, T>;
  added: { key: string; entry: T }[];
}

/** Splits a list of changes. */
export function splitChanges<T>(entries: readonly T[], keyOf: (entry: T) => string): KeyedChanges<T> {
  const changes: KeyedChanges<T> = { removed: new Map(), added: [] };
  for (const entry of entries) {
    const { key, isRemoval } = parseKey(keyOf(entry));
    if (isRemoval) changes.removed.set(key, entry);
    else changes.added.push({ key, entry });
  }
  return changes;
}
