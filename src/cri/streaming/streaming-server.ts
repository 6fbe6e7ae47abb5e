import { createServer } from '../../utils/net/http.ts';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';
import { unavailable } from '../../core/model/errors.ts';
import { messageOf } from '../../utils/errors.ts';
import type { Logger } from '../../core/model/logger.ts';
import { WaitingConnections } from '../../utils/net/waiting-connections.ts';
import type { Certificate } from './certificate.ts';
import { negotiate } from './negotiate.ts';
import type { StreamingRequest } from './requests.ts';
import { serveSpdyPortForward } from './spdy/port-forward.ts';
import { serveSpdyRemoteCommand } from './spdy/remote-command.ts';
import { TokenCache } from './tokens.ts';
import { TUNNEL_PROTOCOL, serveTunnel, serveWebSocketPortForward } from './websocket/port-forward.ts';
import { serveWebSocketRemoteCommand } from './websocket/remote-command.ts';

/** Maximum size of a WebSocket message; clients send about 32 KiB. */
const MAX_MESSAGE_BYTES = 1_048_576;

/** Idle time before TCP keep-alive probes, as in Go's net/http. */
const KEEP_ALIVE_MS = 15_000;

/** Milliseconds until a connection must have become a streaming session. */
const HANDSHAKE_MS = 10_000;

/** Maximum number of connections before they become a streaming session; beyond it the oldest is closed. */
export const MAX_WAITING_CONNECTIONS = 256;

export interface StreamingServerOptions {
  /** Address to listen on; wildcard addresses become loopback in URLs. */
  address: string;
  /** 0: a free port. */
  port: number;
  /** Milliseconds without traffic until a connection is closed; 0: never. Keep-alive messages of the client count. */
  idleTimeoutMs: number;
  /** undefined: plain HTTP. */
  tls: Certificate | undefined;
  logger: Logger;
}

/**
 * Serves the URLs that Exec, Attach and PortForward return: `/exec/TOKEN`, `/attach/TOKEN` and `/portforward/TOKEN`
 * by GET or POST, upgraded to SPDY/3.1 or WebSocket. Each URL works once, for a minute.
 */
export class StreamingServer {
  readonly #options: StreamingServerOptions;
  readonly #tokens = new TokenCache<StreamingRequest>();
  readonly #sockets = new Set<Duplex>();
  readonly #http: Server;
  readonly #waiting: WaitingConnections;
  readonly #webSockets: WebSocketServer;
  /** Negotiated protocols, for the handshake. */
  readonly #agreed = new WeakMap<IncomingMessage, string>();
  #base = '';

  constructor(options: StreamingServerOptions) {
    this.#options = options;
    const { tls } = options;
    // Keep-alive detects a lost client, whatever the idle timeout.
    const limits = {
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
      headersTimeout: HANDSHAKE_MS,
      requestTimeout: HANDSHAKE_MS,
      connectionsCheckingInterval: HANDSHAKE_MS / 2,
    };
    this.#http =
      tls === undefined
        ? createServer(limits)
        : createTlsServer({ ...limits, handshakeTimeout: HANDSHAKE_MS, cert: tls.certificate, key: tls.key });
    this.#waiting = new WaitingConnections(this.#http, MAX_WAITING_CONNECTIONS);
    this.#http.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      this.#upgrade(request, socket as Socket, head);
    });
    this.#http.on('request', (request: IncomingMessage, response: ServerResponse) => {
      const found = this.#consume(request);
      const agreement = found && negotiate(request, found.kind);
      const refusal = agreement !== undefined && 'status' in agreement ? agreement : NOT_FOUND;
      response.writeHead(refusal.status, { 'content-type': 'text/plain', connection: 'close' });
      response.end(`${refusal.message}\n`);
    });
    this.#http.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    this.#webSockets = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: MAX_MESSAGE_BYTES,
    });
    this.#webSockets.on('headers', (headers, request) => {
      const protocol = this.#agreed.get(request) ?? '';
      if (protocol !== '') headers.push(`Sec-WebSocket-Protocol: ${protocol}`);
    });
  }

  /** Starts to listen. @throws CriError UNAVAILABLE when the address is unavailable. */
  async start(): Promise<void> {
    const { address, port, tls } = this.#options;
    await new Promise<void>((resolve, reject) => {
      this.#http.once('error', (cause) => {
        reject(unavailable(`streaming: cannot listen on ${address}, port ${String(port)}: ${cause.message}`, cause));
      });
      this.#http.listen({ host: address, port }, resolve);
    });
    const bound = this.#http.address() as AddressInfo;
    const wildcard: Record<string, string> = { '0.0.0.0': '127.0.0.1', '::': '::1' };
    const host = wildcard[bound.address] ?? bound.address;
    const shown = host.includes(':') ? `[${host}]` : host;
    this.#base = `${tls === undefined ? 'http' : 'https'}://${shown}:${String(bound.port)}`;
  }

  /**
   * The URL at which one client can start the streaming session; `bytes`: of its command.
   * @throws CriError RESOURCE_EXHAUSTED
   */
  offer(request: StreamingRequest, bytes = 0): string {
    return `${this.#base}/${request.kind}/${this.#tokens.insert(request, bytes)}`;
  }

  /** Ends every streaming session and stops listening. */
  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#http.close(() => {
        resolve();
      });
    });
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  /** The request of a URL, which becomes invalid. */
  #consume(request: IncomingMessage): StreamingRequest | undefined {
    if (request.method !== 'GET' && request.method !== 'POST') return undefined;
    const match = /^\/(exec|attach|portforward)\/([\w-]{8})$/.exec((request.url ?? '').split('?')[0] ?? '');
    const found = this.#tokens.consume(match?.[2] ?? '');
    return found?.kind === match?.[1] ? found : undefined;
  }

  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    const { idleTimeoutMs, logger } = this.#options;
    socket.on('error', () => undefined); // 'close' follows
    const found = this.#consume(request);
    const agreement = found && negotiate(request, found.kind);
    if (found === undefined || agreement === undefined || 'status' in agreement) {
      refuse(socket, agreement !== undefined && 'status' in agreement ? agreement : NOT_FOUND);
      return;
    }
    // Streaming sessions are bounded by their tokens.
    this.#waiting.release(socket);
    socket.setNoDelay(true);
    const { transport, protocol } = agreement;
    const log = logger.with({ kind: found.kind, transport, protocol });
    const serve = async (session: Promise<void>) => {
      // Set here, since the WebSocket library resets it.
      socket.setTimeout(idleTimeoutMs, () => socket.destroy());
      const start = performance.now();
      log.debug('Streaming session started');
      try {
        await session;
      } catch (error) {
        log.warn('Streaming session failed', { error: messageOf(error) });
        socket.destroy();
      }
      log.debug('Streaming session ended', { durationMs: Math.round(performance.now() - start) });
    };
    if (transport === 'spdy') {
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n' +
          `X-Stream-Protocol-Version: ${protocol}\r\n\r\n`,
      );
      if (head.length > 0) socket.unshift(head);
      void serve(
        found.kind === 'portforward'
          ? serveSpdyPortForward(socket, found)
          : serveSpdyRemoteCommand(socket, found, protocol),
      );
      return;
    }
    // The library refuses the "/" in the tunnel's name, so the protocol is negotiated here.
    delete request.headers['sec-websocket-protocol'];
    this.#agreed.set(request, protocol);
    this.#webSockets.handleUpgrade(request, socket, head, (ws) => {
      void serve(serveWebSocket(ws, found, protocol, request));
    });
  }
}

function serveWebSocket(ws: WebSocket, found: StreamingRequest, protocol: string, request: IncomingMessage) {
  if (found.kind !== 'portforward') return serveWebSocketRemoteCommand(ws, found, protocol);
  if (protocol === TUNNEL_PROTOCOL) return serveTunnel(ws, found);
  return serveWebSocketPortForward(ws, found, protocol, found.ports.length > 0 ? found.ports : portsOf(request));
}

/** The ports of `?port=80,81&port=82`; invalid ones are skipped. */
function portsOf(request: IncomingMessage): number[] {
  const { searchParams } = new URL(request.url ?? '', 'http://localhost');
  return searchParams
    .getAll('port')
    .flatMap((list) => list.split(','))
    .map(Number)
    .filter((port) => Number.isInteger(port) && port >= 1 && port <= 65_535)
    .slice(0, 64);
}

interface Refusal {
  status: number;
  message: string;
  accepted: readonly string[];
}

const NOT_FOUND: Refusal = {
  status: 404,
  message: '404 page not found: a streaming URL works once, for a minute',
  accepted: [],
};
const REASONS: Record<number, string> = { 400: 'Bad Request', 403: 'Forbidden', 404: 'Not Found' };

/** Responds to a refused upgrade, and closes. */
function refuse(socket: Socket, { status, message, accepted }: Refusal): void {
  const body = `${message}\n`;
  const lines = [
    `HTTP/1.1 ${String(status)} ${REASONS[status] ?? ''}`,
    'Connection: close',
    'Content-Type: text/plain',
    `Content-Length: ${String(Buffer.byteLength(body))}`,
    ...accepted.filter((name) => name !== '').map((name) => `X-Accepted-Stream-Protocol-Versions: ${name}`),
  ];
  socket.end(`${lines.join('\r\n')}\r\n\r\n${body}`);
  // A client that never closes must not keep the socket open.
  socket.setTimeout(1000, () => socket.destroy());
}
