import type { IncomingMessage } from 'node:http';
import { portForwardProtocols } from './spdy/port-forward.ts';
import { remoteCommandProtocols } from './spdy/remote-command.ts';
import type { StreamingRequest } from './requests.ts';
import { webSocketForwardProtocols } from './websocket/port-forward.ts';
import { webSocketCommandProtocols } from './websocket/remote-command.ts';

/** The negotiated transport and protocol, or the HTTP response that refuses. */
export type Agreement =
  | { transport: 'spdy' | 'websocket'; protocol: string }
  | { status: 400 | 403; message: string; accepted: readonly string[] };

/** Selects transport and protocol version: the first of the client's that is supported. */
export function negotiate(request: IncomingMessage, kind: StreamingRequest['kind']): Agreement {
  const upgrade = (request.headers.upgrade ?? '').toLowerCase();
  if (upgrade === 'websocket') {
    const protocols = kind === 'portforward' ? webSocketForwardProtocols : webSocketCommandProtocols;
    return choose('websocket', listOf(request, 'sec-websocket-protocol', ['']), protocols);
  }
  if (upgrade === 'spdy/3.1') {
    const offered = listOf(request, 'x-stream-protocol-version', []);
    if (offered.length === 0) {
      return refuse(400, 'unable to upgrade: the header X-Stream-Protocol-Version is missing');
    }
    return choose('spdy', offered, kind === 'portforward' ? portForwardProtocols : remoteCommandProtocols);
  }
  return refuse(400, 'unable to upgrade: missing upgrade headers in request: SPDY/3.1 or websocket is required');
}

function choose(transport: 'spdy' | 'websocket', offered: readonly string[], spoken: readonly string[]): Agreement {
  const protocol = offered.find((name) => spoken.includes(name));
  if (protocol !== undefined) return { transport, protocol };
  const message = `unable to upgrade: unable to negotiate protocol: client supports [${offered.join(' ')}], server accepts [${spoken.join(' ')}]`;
  return { status: 403, message, accepted: spoken };
}

function refuse(status: 400, message: string): Agreement {
  return { status, message, accepted: [] };
}

/** The values of a header that may be repeated or be a list; `absent` without the header. */
function listOf(request: IncomingMessage, header: string, absent: string[]): string[] {
  const lines = request.headersDistinct[header];
  if (lines === undefined) return absent;
  return lines.flatMap((line) => line.split(',')).flatMap((name) => (name.trim() === '' ? [] : [name.trim()]));
}
