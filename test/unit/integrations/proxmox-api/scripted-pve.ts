import type { ExecutionContext } from 'ava';
import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import {
  connectProxmox,
  type ProxmoxClient,
  type ProxmoxClientOptions,
} from '../../../../src/integrations/proxmox-api/client.ts';
import { Secret } from '../../../../src/integrations/proxmox-api/auth/secret.ts';
import type { Certificates } from './certificates.ts';

/** A request as it came. */
export interface Seen {
  method: string;
  /** Below /api2/json, decoded as the server decodes it. */
  path: string;
  query: Record<string, string>;
  headers: IncomingHttpHeaders;
  /** The JSON of the body, undefined without one. */
  body: unknown;
  /** The number of its connection, from 0 on. */
  connection: number;
}

/** What a test's server answers; `data` alone is a 200. */
export interface Reply {
  status?: number;
  reason?: string;
  data?: unknown;
  total?: number;
  message?: string;
  errors?: Record<string, string>;
  /** In place of the JSON. */
  text?: string;
  /** These bytes and nothing else; the connection stays open. */
  raw?: string;
  /** Ends the connection without an answer. */
  drop?: true;
}

export type Answerer = (seen: Seen) => Reply | Promise<Reply>;

export interface ScriptedPve {
  /** `address:port`. */
  host: string;
  seen: Seen[];
  connections: () => number;
  close: () => Promise<void>;
}

/** An HTTPS server that answers as `answer` says, with the ways of pveproxy: its error bodies, one connection an error. */
export async function servePve(
  t: ExecutionContext,
  certificates: Certificates,
  answer: Answerer,
): Promise<ScriptedPve> {
  const seen: Seen[] = [];
  const sockets = new Map<Socket, number>();
  const server = createServer({ key: certificates.key, cert: certificates.cert }, (request, response) => {
    const url = new URL(request.url ?? '/', 'https://x');
    const handle = async () => {
      const body = await text(request);
      const one: Seen = {
        method: request.method ?? '',
        path: decodeURIComponent(url.pathname).replace('/api2/json', ''),
        query: Object.fromEntries(url.searchParams),
        headers: request.headers,
        body: body === '' ? undefined : JSON.parse(body),
        connection: sockets.get(request.socket) ?? -1,
      };
      seen.push(one);
      send(response, await answer(one));
    };
    handle().catch((error: unknown) => {
      response.destroy(error as Error);
    });
  });
  server.keepAliveTimeout = 5_000;
  server.on('secureConnection', (socket: Socket) => {
    sockets.set(socket, sockets.size);
    socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = async () => {
    server.closeAllConnections();
    for (const socket of sockets.keys()) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  t.teardown(close);
  const { port } = server.address() as AddressInfo;
  return { host: `127.0.0.1:${port}`, seen, connections: () => sockets.size, close };
}

function send(response: ServerResponse, reply: Reply): void {
  if (reply.drop) {
    response.socket?.destroy();
    return;
  }
  if (reply.raw !== undefined) {
    response.socket?.write(reply.raw);
    return;
  }
  const { status = 200, data = null, total, message, errors, text: plain } = reply;
  const reason = reply.reason ?? message?.split('\n')[0] ?? (status === 200 ? 'OK' : 'an error');
  const json = { data, ...(total !== undefined && { total }), ...(message !== undefined && { message }), errors };
  const content = plain ?? JSON.stringify(json);
  const headers = { 'content-type': 'application/json;charset=UTF-8', 'content-length': Buffer.byteLength(content) };
  response.writeHead(status, reason, { ...headers, connection: status >= 400 ? 'close' : 'keep-alive' });
  response.end(content);
}

/** The value of the token of {@link clientOf}. */
export const TOKEN = 'b7f6b7a4-0000-4000-8000-5ec7e75ec7e7';

/** A client of these servers with a token, unless the options say otherwise. */
export async function clientOf(
  t: ExecutionContext,
  certificates: Certificates,
  servers: readonly { host: string }[],
  options: Partial<ProxmoxClientOptions> = {},
): Promise<ProxmoxClient> {
  const client = await connectProxmox({
    hosts: servers.map(({ host }) => host),
    trust: { ca: certificates.ca },
    credentials: { kind: 'token', id: 'cri@pve!k8s', secret: new Secret(TOKEN) },
    pauseMs: 1,
    ...options,
  });
  t.teardown(() => client.close());
  return client;
}
