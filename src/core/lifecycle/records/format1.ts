/** Fields whose keys and values are the user's: nothing in them is a tag. */
const DICTIONARIES = new Set(['labels', 'annotations', 'sysctls', 'unified', 'options', 'Labels']);

/**
 * Reads JSON of format 1, in which `{"$bigint":"1"}` stands for a bigint and `{"$bytes":"<base64>"}` for a Buffer.
 * @throws SyntaxError for text that is not JSON.
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
