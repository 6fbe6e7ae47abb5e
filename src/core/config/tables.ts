/** Keys and list positions from the root of the configuration to a value. */
export type KeyPath = readonly (string | number)[];

/** A TOML table as the parser returns it. */
export type Table = Record<string, unknown>;

/** True for a table; false for lists and dates. */
export function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

/** Merges `over` into `base`: tables key by key, everything else (lists too) is replaced. Neither argument is changed. */
export function mergeTables(base: Table, over: Table): Table {
  const result: Table = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const below = Object.hasOwn(base, key) ? base[key] : undefined;
    result[key] = isTable(below) && isTable(value) ? mergeTables(below, value) : value;
  }
  return result;
}

/** The value at `path`, undefined when there is none. */
export function valueAt(root: unknown, path: KeyPath): unknown {
  let value = root;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<string | number, unknown>)[key];
  }
  return value;
}

/** Characters of a key that are shown. */
const SHOWN = 100;

/** `images.mirrors[0].endpoints`, keys quoted where TOML requires it, and cut where nobody would read on. */
export function formatPath(path: KeyPath): string {
  let text = '';
  for (const key of path) {
    if (typeof key === 'number') text += `[${String(key)}]`;
    else text += (text && '.') + formatKey(key);
  }
  return text;
}

function formatKey(key: string): string {
  const shown = key.length > SHOWN ? `${key.slice(0, SHOWN)}…` : key;
  return /^[\w-]+$/.test(key) ? shown : JSON.stringify(shown);
}
