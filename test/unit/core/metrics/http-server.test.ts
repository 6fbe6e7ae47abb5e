import test from 'ava';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { MAX_METRICS_CONNECTIONS, serveMetrics } from '../../../../src/core/metrics/http-server.ts';
import { Metrics } from '../../../../src/core/metrics/metrics.ts';
import type { Logger } from '../../../../src/core/model/logger.ts';
import { eventually } from '../../../lib/eventually.ts';

const drop = () => undefined;
const silent: Logger = { debug: drop, info: drop, warn: drop, error: drop, with: () => silent };

test('idle connections are limited and block nobody', async (t) => {
  const page = serveMetrics('127.0.0.1:0', new Metrics(), silent);
  t.teardown(page.close);
  await eventually('a port', () => page.port() !== undefined);
  const port = page.port() ?? 0;
  const sockets: Socket[] = [];
  let closed = 0;
  for (let count = 0; count < MAX_METRICS_CONNECTIONS + 20; count += 1) {
    const socket = connect({ host: '127.0.0.1', port });
    socket.on('error', drop);
    socket.once('close', () => (closed += 1));
    await once(socket, 'connect');
    sockets.push(socket);
  }
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
  });
  t.is((await fetch(`http://127.0.0.1:${String(port)}/metrics`)).status, 200);
  await eventually('the end of 20', () => closed >= 20);
  t.pass();
});

test('pipelined requests are collected once, then refused', async (t) => {
  const metrics = new Metrics();
  let collected = 0;
  metrics.watchInventory({
    podsByState: () => ({}),
    containersByState: () => ({}),
    images: () => (collected += 1),
    warmPools: () => new Map(),
  });
  const page = serveMetrics('127.0.0.1:0', metrics, silent);
  t.teardown(page.close);
  await eventually('a port', () => page.port() !== undefined);
  const socket = connect({ host: '127.0.0.1', port: page.port() ?? 0 });
  socket.on('error', drop).resume();
  socket.write('GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(1000));
  await once(socket, 'close');
  t.true(collected <= 2, `${String(collected)} times`);
  t.is((await fetch(`http://127.0.0.1:${String(page.port())}/metrics`)).status, 200);
});

test('an address in use is retried until free', async (t) => {
  const neighbour = createServer().listen({ host: '127.0.0.1', port: 0 });
  await once(neighbour, 'listening');
  const { port } = neighbour.address() as AddressInfo;
  let refused = false;
  const logger: Logger = { ...silent, warn: () => (refused = true) };
  const page = serveMetrics(`127.0.0.1:${String(port)}`, new Metrics(), logger, 20);
  t.teardown(page.close);
  await eventually('a refusal', () => refused);
  t.is(page.port(), undefined);
  neighbour.close();
  await eventually('a port', () => page.port() !== undefined);
  t.is(page.port(), port);
});
