import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { unavailable } from '../model/errors.ts';
import { messageOf } from '../../utils/errors.ts';
import type { Logger } from '../model/logger.ts';
import type { Metrics } from './metrics.ts';

/**
 * Serves `/metrics` for Prometheus at `address` (`HOST:PORT`; port 0 picks a free one).
 * @returns the server, listening. @throws CriError UNAVAILABLE when the address cannot be used.
 */
export async function serveMetrics(address: string, metrics: Metrics, logger: Logger): Promise<Server> {
  const at = address.lastIndexOf(':');
  const host = address.slice(0, at).replace(/^\[(.*)\]$/, '$1');
  const server = createServer((request, response) => {
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
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      reject(unavailable(`metrics.listen: ${address} cannot be listened on: ${cause.message}; name another`, cause));
    });
    server.listen({ host, port: Number(address.slice(at + 1)) }, resolve);
  });
  // A scraper that never closes its connection must not keep the process alive.
  server.unref();
  return server;
}
