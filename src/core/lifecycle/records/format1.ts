/** Fields with arbitrary keys and values of the user: they have no tags. */
const DICTIONARIES = new Set(['labels', 'annotations', 'sysctls', 'unified', 'options', 'Labels']);

/**
 * Reads JSON of format 1, in which `{"$bigint":"1"}` is a bigint and `{"$bytes":"<base64>"}` a Buffer.
 * @throws SyntaxError for invalid JSON.
 */
export function readFormat1(text: string): unknown {
  return JSON.parse(text, revive);
}

function revive(key: string, value: unknown): unknown {
  if (DICTIONARIES.has(key) || typeof value !== 'object' || value === null) return value;
  const [entry, more] = Object.entries(value) as [string, unknown][];
  if (entry === undefined || more !== undefined || typeof entry[1] !== 'string') return value;
  const [tag, content] = entry;
  if (tag === '$bigint' && /^-?\d+$/.test(content)) return BigInt(content);
  if (tag === '$bytes') return Buffer.from(content, 'base64');
  return value;
}
