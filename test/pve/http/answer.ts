import type { ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import { Download, Reply } from '../api/method.ts';
import { ApiError, messageOf } from './api-error.ts';

/** One answer, ready for the wire. */
export interface Answer {
  readonly status: number;
  readonly reason: string;
  readonly body: string;
  readonly headers: readonly string[];
}

const json = ['Content-Type', 'application/json;charset=UTF-8'];

/** The answer to a call that `returned`; `proxied` ones show that two daemons had them. */
export function answerOf(returned: unknown, proxied: boolean): Answer {
  const connection = [...(proxied ? ['Connection', 'close'] : []), 'Connection', 'Keep-Alive'];
  if (returned instanceof Download) {
    const disposition = ['Content-Disposition', `attachment; filename="${returned.filename}"`];
    return {
      status: 200,
      reason: 'OK',
      body: returned.text,
      headers: [...connection, 'Content-Type', 'text/plain', ...disposition],
    };
  }
  const { data, beside } = returned instanceof Reply ? returned : { data: returned, beside: {} };
  return {
    status: 200,
    reason: 'OK',
    body: JSON.stringify({ data: data ?? null, ...beside }),
    headers: [...connection, ...json],
  };
}

/** The answer to a call that failed: the reason is the message's first line, the body has the whole. */
export function answerError(error: unknown): Answer {
  const known = error instanceof ApiError ? error : new ApiError(500, messageOf(error));
  const { status, message, errors } = known;
  // What the status line cannot carry is left out of it.
  const reason = message.split('\n')[0]!.replace(/[^\x20-\x7e]/g, '?');
  const headers = ['Connection', 'close'];
  const bare = status === 401 && message !== 'authentication failure';
  if (bare || /^(?:method '|upload failed|for data|chunked)/.test(message)) {
    const body = message.startsWith('upload failed') ? `${message}\n` : '';
    return { status, reason, body, headers };
  }
  // An unknown method ends without the newline that every other message has.
  const text = status === 501 ? message : `${message}\n`;
  const body = JSON.stringify({ data: null, message: text, ...(errors === undefined ? {} : { errors }) });
  return { status, reason, body, headers: [...headers, ...json] };
}

/** Sends an answer, packed when the client accepts gzip and it is worth it; the `last` one ends the connection. */
export function send(response: ServerResponse, answer: Answer, { gzip, last }: { gzip: boolean; last: boolean }): void {
  const packed = gzip && answer.body.length > 1024;
  const body = packed ? gzipSync(answer.body) : Buffer.from(answer.body);
  response.writeHead(answer.status, answer.reason, [
    ...answer.headers.map((value) => (last && value === 'Keep-Alive' ? 'close' : value)),
    ...(packed ? ['Content-Encoding', 'gzip'] : []),
    ...['Cache-Control', 'max-age=0', 'Pragma', 'no-cache', 'Server', 'pve-api-daemon/3.0'],
    ...['Content-Length', String(body.length)],
  ]);
  response.end(body);
}
