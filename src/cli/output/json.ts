/** A message of the API as indented JSON: 64-bit numbers as decimal text (as proto3 JSON does), bytes as UTF-8 text. */
export function formatJson(value: unknown): string {
  return `${JSON.stringify(value, replace, 2)}\n`;
}

function replace(this: unknown, key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  // Buffer.toJSON has run before; the holder still has the bytes.
  const original = (this as Record<string, unknown>)[key];
  return Buffer.isBuffer(original) ? original.toString('utf8') : value;
}
