/** A message of the API as indented JSON: 64-bit numbers as decimal strings (as in proto3 JSON), bytes as UTF-8 strings. */
export function formatJson(value: unknown): string {
  return `${JSON.stringify(value, replace, 2)}\n`;
}

function replace(this: unknown, key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  // Buffer.toJSON has run before; the parent object still has the bytes.
  const original = (this as Record<string, unknown>)[key];
  return Buffer.isBuffer(original) ? original.toString('utf8') : value;
}
