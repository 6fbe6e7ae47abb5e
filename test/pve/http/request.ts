import type { IncomingMessage } from 'node:http';
import type { Upload } from '../api/method.ts';
import { ApiError, fault } from './api-error.ts';
import { parseMultipart } from './multipart.ts';

/** Longest body that is no upload, in bytes. */
const longest = 512 * 1024;

/** Parameters of query and body. */
export interface Parameters {
  readonly values: Record<string, unknown>;
  readonly upload?: Upload;
}

function decode(text: string): string {
  const plain = text.replaceAll('+', ' ');
  try {
    return decodeURIComponent(plain);
  } catch {
    return plain;
  }
}

/**
 * Parameters of a form or a query. A raw `;` separates as `&` does, and a raw second `=` ends the value; a name that is
 * there twice has both values, with a NUL between.
 */
export function parseForm(form: string): Record<string, string> {
  const values: Record<string, string> = {};
  for (const pair of form.split(/[&;]/)) {
    if (pair === '') continue;
    const [name = '', value = ''] = pair.split('=');
    const key = decode(name);
    values[key] = values[key] === undefined ? decode(value) : `${values[key]}\0${decode(value)}`;
  }
  return values;
}

async function readBody(request: IncomingMessage, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    chunks.push(chunk as Buffer);
    length += (chunk as Buffer).length;
    if (length > limit) throw new ApiError(501, 'for data too large');
  }
  return Buffer.concat(chunks);
}

function parseJson(body: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    throw fault('malformed JSON string');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw fault('malformed JSON string');
  return value as Record<string, unknown>;
}

/**
 * Reads the parameters of a request, of its query and its body.
 * @throws ApiError for a body that the node does not read.
 */
export async function readParameters(request: IncomingMessage, query: string): Promise<Parameters> {
  const given = parseForm(query);
  if (request.headers['transfer-encoding'] !== undefined)
    throw new ApiError(501, 'chunked transfer encoding not supported');
  const type = request.headers['content-type'] ?? '';
  const boundary = /^multipart\/form-data;.*boundary="?([^";]+)/.exec(type)?.[1];
  if (boundary !== undefined) {
    const parts = parseMultipart(await readBody(request, Infinity), boundary);
    if (parts === undefined) throw fault('upload failed at /usr/share/perl5/PVE/APIServer/AnyEvent.pm line 1370.');
    return { values: { ...given, ...parts.fields, filename: parts.upload.filename }, upload: parts.upload };
  }
  const body = (await readBody(request, longest)).toString('utf8');
  if (body === '') return { values: given };
  if (type.startsWith('application/json')) return { values: { ...given, ...parseJson(body) } };
  if (type === '' || type.startsWith('application/x-www-form-urlencoded')) {
    return { values: { ...given, ...parseForm(body) } };
  }
  throw new ApiError(506, `upload 'Content-Type '${type}' not implemented`);
}
