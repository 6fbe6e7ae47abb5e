/** Tags of the two kinds of value that JSON lacks. */
const BIGINT = '$bigint';
const BYTES = '$bytes';

/** JSON text with bigint and byte values kept (bytes come back as Buffer): `{"$bigint":"1"}`, `{"$bytes":"<base64>"}`. */
export function toJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, encode, indent);
}

/** Maximum levels of a document of others that is written out again; JSON.stringify recurses, and fails at about 2,000. */
export const MAX_NESTING = 100;

/** Whether objects and lists of a JSON value are nested deeper than {@link MAX_NESTING} levels; does not recurse. */
export function isTooDeep(value: unknown): boolean {
  let level = [value].filter(isContainer);
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > MAX_NESTING) return true;
    level = level.flatMap((each) => Object.values(each).filter(isContainer));
  }
  return false;
}

/** Whether a JSON value has more than `most` values inside, at any depth; does not recurse. */
export function hasMoreValuesThan(value: unknown, most: number): boolean {
  const pending = [value].filter(isContainer);
  let count = 0;
  for (let each = pending.pop(); each !== undefined; each = pending.pop()) {
    const inside = Object.values(each) as unknown[];
    count += inside.length;
    if (count > most) return true;
    for (const one of inside) if (isContainer(one)) pending.push(one);
  }
  return false;
}

function isContainer(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

/** The inverse of {@link toJson}. @throws SyntaxError for invalid JSON. */
export function fromJson(text: string): unknown {
  return JSON.parse(text, decode);
}

function encode(this: unknown, key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return { [BIGINT]: value.toString() };
  // Buffer.toJSON has run before; the parent object still has the original.
  const original = (this as Record<string, unknown>)[key];
  if (original instanceof Uint8Array) return { [BYTES]: Buffer.from(original).toString('base64') };
  return value;
}

function decode(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value);
  if (entries.length !== 1) return value;
  const [tag, text] = entries[0] as [string, unknown];
  if (typeof text !== 'string') return value;
  if (tag === BIGINT && /^-?\d+$/.test(text)) return BigInt(text);
  if (tag === BYTES) return Buffer.from(text, 'base64');
  return value;
}
