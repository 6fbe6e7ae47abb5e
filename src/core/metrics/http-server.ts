import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import { rmSync } from 'node:fs';
import { type AddressInfo, type Socket, connect } from 'node:net';
import { isErrno, messageOf } from '../../utils/errors.ts';
import { createServer } from '../../utils/net/http.ts';
import { WaitingConnections } from '../../utils/net/waiting-connections.ts';
import type { Logger } from '../model/logger.ts';
import { type CertificateFiles, readPair, watchPair } from './certificate.ts';
import { type ReadinessChecks, readiness } from './health.ts';
import type { Metrics } from './metrics.ts';

/** Maximum number of connections; Prometheus keeps one. Beyond it the oldest is closed, or on a unix socket the newest. */
export const MAX_METRICS_CONNECTIONS = 64;
/** Maximum number of unanswered requests of a connection: Prometheus never sends a second one. */
const MAX_WAITING_REQUESTS = 4;
/** Milliseconds until a request must have arrived, and until an idle connection is closed. */
const REQUEST_MS = 10_000;
/** Milliseconds until listening on an unavailable address is retried. */
const RETRY_MS = 10_000;

export interface MetricsPageOptions {
  /** `HOST:PORT`, of which port 0 selects a free one, or `unix:///PATH`. */
  address: string;
  /** Without it, plain HTTP. */
  tls?: CertificateFiles | undefined;
  metrics: Metrics;
  /** Of `/readyz`. */
  checks: ReadinessChecks;
  logger: Logger;
  retryMs?: number;
  /** Milliseconds between two looks at the files of `tls`. */
  reloadMs?: number;
}

/** A page that is served. */
export interface MetricsPage {
  close: () => void;
  /** Once it listens; undefined on a unix socket. */
  port: () => number | undefined;
}

/**
 * Serves `/metrics` for Prometheus, `/healthz` and `/readyz`. When the address or the certificate is unavailable, this is logged and
 * retried until `close`: metrics must not prevent a node from starting.
 */
export function serveMetrics(options: MetricsPageOptions): MetricsPage {
  const { address, tls, logger, retryMs = RETRY_MS, reloadMs } = options;
  const target = listenTarget(address);
  const answer = answers(options);
  let server: Server | undefined;
  let retry: NodeJS.Timeout | undefined;
  let endWatch: (() => void) | undefined;
  let isClosed = false;
  let isReported = false;
  const again = (error: unknown) => {
    if (isClosed) return;
    if (!isReported) {
      const remedy = 'free the address, or set metrics.listen; listening is retried';
      logger.warn('Metrics endpoint unavailable', { address, error: messageOf(error), remedy });
    }
    isReported = true;
    retry = setTimeout(start, retryMs).unref();
  };
  const bind = (made: Server) => {
    if (isClosed) return;
    server = made;
    // Only the owner and the group may connect; the socket is made within the call.
    const umask = process.umask(0o117);
    made.listen(target);
    process.umask(umask);
  };
  const start = () => {
    if (server !== undefined) bind(server);
    else if (tls === undefined) bind(prepared(createServer(LIMITS, answer)));
    else secured(tls).then(bind, again);
  };
  const secured = async (files: CertificateFiles): Promise<Server> => {
    const { createServer: createSecure } = await import('node:https');
    const made = createSecure({ ...LIMITS, ...(await readPair(files)) }, answer);
    const changed = (pair: Parameters<typeof made.setSecureContext>[0]) => {
      made.setSecureContext(pair);
      logger.info('Certificate of the metrics endpoint reloaded', { file: files.certificate });
    };
    const failed = (error: unknown) => {
      const values = { file: files.certificate, error: messageOf(error) };
      logger.warn('Reloading the certificate of the metrics endpoint failed; the former one stays in use', values);
    };
    endWatch = watchPair(files, { changed, failed }, reloadMs);
    return prepared(made);
  };
  const prepared = (made: Server): Server => {
    new WaitingConnections(made, MAX_METRICS_CONNECTIONS);
    if ('path' in target) made.maxConnections = MAX_METRICS_CONNECTIONS;
    made.on('error', (error) => {
      if ('path' in target && isErrno(error, 'EADDRINUSE')) replaceStale(target.path, start, () => again(error));
      else again(error);
    });
    made.on('listening', () => {
      if (isReported) logger.info('Metrics endpoint listening', { address });
      isReported = false;
      // A scraper that never closes its connection must not keep the process alive.
      made.unref();
    });
    return made;
  };
  start();
  return {
    close: () => {
      isClosed = true;
      clearTimeout(retry);
      endWatch?.();
      server?.close();
      server?.closeAllConnections();
    },
    port: () => {
      const bound: AddressInfo | string | null | undefined = server?.address();
      return typeof bound === 'object' ? bound?.port : undefined;
    },
  };
}

const LIMITS = {
  headersTimeout: REQUEST_MS,
  requestTimeout: REQUEST_MS,
  keepAliveTimeout: REQUEST_MS,
  connectionsCheckingInterval: REQUEST_MS / 2,
};

function listenTarget(address: string): { host: string; port: number } | { path: string } {
  if (address.startsWith('unix://')) return { path: address.slice('unix://'.length) };
  const at = address.lastIndexOf(':');
  return { host: address.slice(0, at).replace(/^\[(.*)\]$/, '$1'), port: Number(address.slice(at + 1)) };
}

/** A killed server leaves its socket: removes one on which nobody listens. */
function replaceStale(path: string, removed: () => void, inUse: () => void): void {
  const socket = connect({ path });
  socket.once('connect', () => {
    socket.destroy();
    inUse();
  });
  socket.once('error', (error) => {
    if (!isErrno(error, 'ECONNREFUSED')) {
      inUse();
      return;
    }
    rmSync(path, { force: true });
    removed();
  });
}

function answers({ metrics, checks, logger }: MetricsPageOptions): RequestListener {
  const waiting = new WeakMap<Socket, number>();
  let collecting: Promise<string> | undefined;
  /** Requests at the same time share a text. */
  const collect = () =>
    (collecting ??= metrics.registry.metrics().finally(() => {
      collecting = undefined;
    }));
  const pages: Record<string, (query: URLSearchParams) => Promise<{ status: number; text: string; type: string }>> = {
    '/metrics': async () => ({ status: 200, text: await collect(), type: metrics.registry.contentType }),
    '/healthz': () => Promise.resolve({ status: 200, text: 'ok\n', type: 'text/plain' }),
    '/readyz': async (query) => ({ ...(await readiness(checks, query.has('verbose'))), type: 'text/plain' }),
  };
  return (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request;
    const count = (waiting.get(socket) ?? 0) + 1;
    waiting.set(socket, count);
    response.once('close', () => waiting.set(socket, (waiting.get(socket) ?? 1) - 1));
    if (count > MAX_WAITING_REQUESTS) socket.destroy();
    if (socket.destroyed) return;
    const [path = '', query] = (request.url ?? '').split('?');
    const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
    if (page === undefined || (request.method !== 'GET' && request.method !== 'HEAD')) {
      const known = Object.keys(pages).join(', ');
      response.writeHead(404, { 'content-type': 'text/plain' }).end(`Not found: there are ${known}\n`);
      return;
    }
    page(new URLSearchParams(query)).then(
      ({ status, text, type }) => response.writeHead(status, { 'content-type': type }).end(text),
      (error: unknown) => {
        logger.error('Answering a request of the metrics endpoint failed', { path, error: messageOf(error) });
        response.writeHead(500).end();
      },
    );
  };
}
