/**
 * The chart's values.schema.json with the names of these handlers as those that a RuntimeClass may have.
 * @throws Error when `text` has no such list.
 */
export function chartSchema(text: string, handlers: readonly string[]): string {
  const list = /("handler": \{ "type": "string", "enum": )\[[^\]]*\]/;
  if (!list.test(text)) throw new Error('the schema of the chart lists no handlers');
  return text.replace(list, (_, key: string) => `${key}[${handlers.map((name) => JSON.stringify(name)).join(', ')}]`);
}
