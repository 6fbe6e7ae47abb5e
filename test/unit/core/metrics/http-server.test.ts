import test from 'ava';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { MAX_METRICS_CONNECTIONS, serveMetrics } from '../../../../src/core/metrics/http-server.ts';
import { Metrics } from '../../../../src/core/metrics/metrics.ts';
import type { Logger } from '../../../../src/core/model/logger.ts';

const drop = () => undefined;
const silent: Logger = { debug: drop, info: drop, warn: drop, error: drop, with: () => silent };

test('connections that ask nothing are bounded and keep nobody out', async (t) => {
  const page = serveMetrics('127.0.0.1:0', new Metrics(), silent);
  t.teardown(page.close);
  while (page.port() === undefined) await sleep(10);
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
  while (closed < 20) await sleep(10);
  t.pass();
});

test('an address in use is tried again until it is free', async (t) => {
  const neighbour = createServer().listen({ host: '127.0.0.1', port: 0 });
  await once(neighbour, 'listening');
  const { port } = neighbour.address() as AddressInfo;
  const page = serveMetrics(`127.0.0.1:${String(port)}`, new Metrics(), silent, 20);
  t.teardown(page.close);
  await sleep(50);
  t.is(page.port(), undefined);
  neighbour.close();
  while (page.port() === undefined) await sleep(10);
  t.is(page.port(), port);
});
