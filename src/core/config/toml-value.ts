import { isTable } from './tables.ts';

/** Writes a value on one line of TOML: text, number, boolean, date, list, or an inline table. @throws TypeError for others. */
export function tomlValue(value: unknown): string {
  if (typeof value === 'string') return tomlString(value);
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (Array.isArray(value)) return `[${value.map(tomlValue).join(', ')}]`;
  if (value instanceof Date) return value.toISOString(); // the parser's own dates keep their form: a day, a time, both
  if (!isTable(value)) throw new TypeError(`TOML cannot hold ${typeof value}`);
  const entries = Object.entries(value).map(([key, inner]) => `${tomlKey(key)} = ${tomlValue(inner)}`);
  return entries.length === 0 ? '{}' : `{ ${entries.join(', ')} }`;
}

function tomlKey(key: string): string {
  return /^[\w-]+$/.test(key) ? key : tomlString(key);
}

/** JSON's escapes are TOML's; DEL alone must be escaped here and not there. */
function tomlString(text: string): string {
  return JSON.stringify(text).replaceAll('\u007f', '\\u007f');
}
