import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectSecure } from 'node:tls';
import test, { type ExecutionContext } from 'ava';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { MAX_METRICS_CONNECTIONS, serveMetrics } from '../../../../src/core/metrics/http-server.ts';
import { Metrics } from '../../../../src/core/metrics/metrics.ts';
import type { Logger } from '../../../../src/core/model/logger.ts';
import { eventually } from '../../../lib/eventually.ts';
import { makeCertificate } from '../../../pve/http/certificate.ts';

const drop = () => undefined;
const checks = { server: () => undefined };
const silent: Logger = { debug: drop, info: drop, warn: drop, error: drop, with: () => silent };

async function directory(t: ExecutionContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'metrics-'));
  t.teardown(() => rm(path, { recursive: true, force: true }));
  return path;
}

test('idle connections are limited and block nobody', async (t) => {
  const page = serveMetrics({ address: '127.0.0.1:0', metrics: new Metrics(), checks, logger: silent });
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
    handlers: () => [],
    pods: () => [],
    containers: () => [],
    plugins: () => 0,
    images: () => (collected += 1),
    warmPools: () => new Map(),
    networkPool: () => ({ ready: 0, creating: 0, releasing: 0, claimed: 0, missed: 0 }),
  });
  const page = serveMetrics({ address: '127.0.0.1:0', metrics, checks, logger: silent });
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
  const address = `127.0.0.1:${String(port)}`;
  const page = serveMetrics({ address, metrics: new Metrics(), checks, logger, retryMs: 20 });
  t.teardown(page.close);
  await eventually('a refusal', () => refused);
  t.is(page.port(), undefined);
  neighbour.close();
  await eventually('a port', () => page.port() !== undefined);
  t.is(page.port(), port);
});

test('probes answer by the checks', async (t) => {
  let problem: string | undefined = 'the CRI socket is not served';
  const page = serveMetrics({
    ...{ address: '127.0.0.1:0', metrics: new Metrics(), logger: silent },
    checks: { server: () => problem, runtime: () => Promise.resolve(undefined) },
  });
  t.teardown(page.close);
  await eventually('a port', () => page.port() !== undefined);
  const ask = async (path: string) => {
    const answer = await fetch(`http://127.0.0.1:${String(page.port())}${path}`);
    return [answer.status, await answer.text()];
  };
  t.deepEqual(await ask('/healthz'), [200, 'ok\n']);
  t.deepEqual(await ask('/readyz'), [503, `[-]server failed: ${problem}\n[+]runtime ok\nreadyz check failed\n`]);
  problem = undefined;
  t.deepEqual(await ask('/readyz'), [200, 'ok\n']);
  t.deepEqual(await ask('/readyz?verbose'), [200, '[+]server ok\n[+]runtime ok\nreadyz check passed\n']);
  t.is((await ask('/__proto__'))[0], 404);
});

/** GET /healthz over a unix socket. */
const overSocket = (path: string) =>
  new Promise<string>((resolve, reject) => {
    const socket = connect({ path });
    let text = '';
    socket.on('error', reject).setEncoding('utf8');
    socket.on('data', (part: string) => (text += part)).on('close', () => resolve(text));
    socket.write('GET /healthz HTTP/1.0\r\n\r\n');
  });

test('a unix socket replaces a stale one, and no other', async (t) => {
  const path = join(await directory(t), 'metrics.sock');
  const code = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', code]);
  const options = { address: `unix://${path}`, metrics: new Metrics(), checks, retryMs: 20 };
  const page = serveMetrics({ ...options, logger: silent });
  t.teardown(page.close);
  t.regex(await eventually('an answer', () => overSocket(path).catch(() => undefined)), /^HTTP\/1.1 200 OK/);
  t.is((await stat(path)).mode & 0o777, 0o660);
  let refused = false;
  const second = serveMetrics({ ...options, logger: { ...silent, warn: () => (refused = true) } });
  t.teardown(second.close);
  await eventually('a refusal', () => refused);
  t.regex(await overSocket(path), /^HTTP\/1.1 200 OK/);
});

test('a certificate is used, and its successor when the files change', async (t) => {
  const place = await directory(t);
  const files = { certificate: join(place, 'tls.crt'), key: join(place, 'tls.key') };
  const write = async ({ certificate, key }: { certificate: string; key: string }) => {
    await writeFile(files.certificate, certificate);
    await writeFile(files.key, key);
  };
  const messages: string[] = [];
  const note = (message: string) => messages.push(message);
  const logger: Logger = { ...silent, info: note, warn: note };
  const options = { address: '127.0.0.1:0', tls: files, metrics: new Metrics(), checks, retryMs: 20, reloadMs: 20 };
  const page = serveMetrics({ ...options, logger });
  t.teardown(page.close);
  await eventually('a refusal', () => messages.includes('Metrics endpoint unavailable'));
  const [first, second] = [await makeCertificate('one'), await makeCertificate('two')];
  await write(first);
  await eventually('a port', () => page.port() !== undefined);
  const subject = async () => {
    const socket = connectSecure({ host: '127.0.0.1', port: page.port() ?? 0, rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    const { CN } = socket.getPeerCertificate().subject;
    socket.destroy();
    return CN;
  };
  t.is(await subject(), 'one.invalid');
  await writeFile(files.key, 'broken');
  await eventually('a failure', () => messages.some((message) => message.startsWith('Reloading')));
  t.is(await subject(), 'one.invalid');
  await write(second);
  await eventually('a reload', async () => (await subject()) === 'two.invalid');
  t.pass();
});
