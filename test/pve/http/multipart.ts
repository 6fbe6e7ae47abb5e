import type { Upload } from '../api/method.ts';

/** Fields and the file of a multipart body; undefined when it has no file. */
export function parseMultipart(
  body: Buffer,
  boundary: string,
): { fields: Record<string, string>; upload: Upload } | undefined {
  const fields: Record<string, string> = {};
  const delimiter = Buffer.from(`--${boundary}`);
  let position = body.indexOf(delimiter);
  while (position >= 0) {
    const start = position + delimiter.length + 2;
    const next = body.indexOf(delimiter, start);
    if (next < 0) break;
    const head = body.indexOf('\r\n\r\n', start);
    const header = body.subarray(start, head).toString('utf8');
    const content = body.subarray(head + 4, next - 2);
    const name = /\bname="([^"]*)"/.exec(header)?.[1] ?? '';
    const filename = /\bfilename="([^"]*)"/.exec(header)?.[1];
    // The file ends the request: what follows it is not read.
    if (filename !== undefined) return { fields, upload: { filename, content: Buffer.from(content) } };
    fields[name] = content.toString('utf8');
    position = next;
  }
  return undefined;
}
