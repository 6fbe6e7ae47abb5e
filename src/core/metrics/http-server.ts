import { createServer } from '../../utils/net/http.ts';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { messageOf } from '../../utils/errors.ts';
import { WaitingConnections } from '../../utils/net/waiting-connections.ts';
import type { Logger } from '../model/logger.ts';
import type { Metrics } from './metrics.ts';

/** Maximum number of connections; Prometheus keeps one. Beyond it the oldest is closed. */
export const MAX_METRICS_CONNECTIONS = 64;
/** Maximum number of unanswered requests of a connection: Prometheus never sends a second one. */
const MAX_WAITING_REQUESTS = 4;
/** Milliseconds until a request must have arrived, and until an idle connection is closed. */
const REQUEST_MS = 10_000;
/** Milliseconds until listening on an unavailable address is retried. */
const RETRY_MS = 10_000;

/**
 * Serves `/metrics` for Prometheus at `address` (`HOST:PORT`; port 0 selects a free one). When the address is unavailable, this
 * is logged and retried until `close`: metrics must not prevent a node from starting.
 * @returns a function that closes it, and the port once it listens.
 */
export function serveMetrics(
  address: string,
  metrics: Metrics,
  logger: Logger,
  retryMs = RETRY_MS,
): { close: () => void; port: () => number | undefined } {
  const at = address.lastIndexOf(':');
  const host = address.slice(0, at).replace(/^\[(.*)\]$/, '$1');
  const listenOptions = { host, port: Number(address.slice(at + 1)) };
  const server = metricsServer(metrics, logger);
  let retry: NodeJS.Timeout | undefined;
  let isReported = false;
  server.on('error', (error) => {
    if (!isReported) {
      const remedy = 'free the address, or set metrics.listen; listening is retried';
      logger.warn('Metrics endpoint unavailable', { address, error: messageOf(error), remedy });
    }
    isReported = true;
    retry = setTimeout(() => server.listen(listenOptions), retryMs).unref();
  });
  server.on('listening', () => {
    if (isReported) logger.info('Metrics endpoint listening', { address });
    isReported = false;
    // A scraper that never closes its connection must not keep the process alive.
    server.unref();
  });
  server.listen(listenOptions);
  return {
    close: () => {
      clearTimeout(retry);
      server.close();
      server.closeAllConnections();
    },
    port: () => {
      const bound = server.address();
      return typeof bound === 'object' ? bound?.port : undefined;
    },
  };
}

function metricsServer(metrics: Metrics, logger: Logger): Server {
  const limits = {
    headersTimeout: REQUEST_MS,
    requestTimeout: REQUEST_MS,
    keepAliveTimeout: REQUEST_MS,
    connectionsCheckingInterval: REQUEST_MS / 2,
  };
  const waiting = new WeakMap<Socket, number>();
  let collecting: Promise<string> | undefined;
  /** Requests at the same time share a text. */
  const collect = () =>
    (collecting ??= metrics.registry.metrics().finally(() => {
      collecting = undefined;
    }));
  const server = createServer(limits, (request, response) => {
    const { socket } = request;
    const count = (waiting.get(socket) ?? 0) + 1;
    waiting.set(socket, count);
    response.once('close', () => waiting.set(socket, (waiting.get(socket) ?? 1) - 1));
    if (count > MAX_WAITING_REQUESTS) socket.destroy();
    if (socket.destroyed) return;
    const path = request.url?.split('?')[0];
    if (path !== '/metrics' || (request.method !== 'GET' && request.method !== 'HEAD')) {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('Not found: the metrics are at /metrics\n');
      return;
    }
    collect().then(
      (text) => response.writeHead(200, { 'content-type': metrics.registry.contentType }).end(text),
      (error: unknown) => {
        logger.error('Collecting metrics failed', { error: messageOf(error) });
        response.writeHead(500).end();
      },
    );
  });
  new WaitingConnections(server, MAX_METRICS_CONNECTIONS);
  return server;
}
