import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { messageOf } from '../../utils/errors.ts';
import { WaitingConnections } from '../../utils/net/waiting-connections.ts';
import type { Logger } from '../model/logger.ts';
import type { Metrics } from './metrics.ts';

/** Connections at once; Prometheus keeps one. Beyond it the oldest is closed. */
export const MAX_METRICS_CONNECTIONS = 64;
/** Milliseconds within which a request must have come, and after which an idle connection is closed. */
const REQUEST_MS = 10_000;
/** Milliseconds until an address that cannot be used is tried again. */
const RETRY_MS = 10_000;

/**
 * Serves `/metrics` for Prometheus at `address` (`HOST:PORT`; port 0 picks a free one). An address that cannot be used is
 * reported and tried again until `close`: figures are not worth a node that does not start.
 * @returns how to end it, and the port once there is one.
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
      const remedy = 'it is tried again; free the address, or name another in metrics.listen';
      logger.warn('Cannot serve metrics', { address, error: messageOf(error), remedy });
    }
    isReported = true;
    retry = setTimeout(() => server.listen(listenOptions), retryMs).unref();
  });
  server.on('listening', () => {
    if (isReported) logger.info('Serving metrics', { address });
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
  const server = createServer(limits, (request, response) => {
    const path = request.url?.split('?')[0];
    if (path !== '/metrics' || (request.method !== 'GET' && request.method !== 'HEAD')) {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('Not found: the metrics are at /metrics\n');
      return;
    }
    metrics.registry.metrics().then(
      (text) => response.writeHead(200, { 'content-type': metrics.registry.contentType }).end(text),
      (error: unknown) => {
        logger.error('Cannot collect metrics', { error: messageOf(error) });
        response.writeHead(500).end();
      },
    );
  });
  new WaitingConnections(server, MAX_METRICS_CONNECTIONS);
  return server;
}
