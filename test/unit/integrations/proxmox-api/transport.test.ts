import test from 'ava';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';
import { pathOf } from '../../../../src/integrations/proxmox-api/call.ts';
import { connectProxmox } from '../../../../src/integrations/proxmox-api/client.ts';
import { AmbiguousOutcomeError, ProxmoxError } from '../../../../src/integrations/proxmox-api/errors/proxmox-error.ts';
import { Secret } from '../../../../src/integrations/proxmox-api/auth/secret.ts';
import { type Certificates, makeCertificates } from './certificates.ts';
import { clientOf, servePve, TOKEN } from './scripted-pve.ts';

const UPID = 'UPID:pve1:0000049B:00058DF8:6B036CD9:vzstart:101:cri@pve!k8s:';
const guest = { kind: 'lxc', node: 'pve1', vmid: 101 } as const;

let certificates: Certificates;
let dispose: () => Promise<void>;
test.before(async () => {
  ({ dispose, ...certificates } = await makeCertificates());
});
test.after.always(() => dispose());

/** An address where nothing listens. */
async function closedPort(): Promise<{ host: string }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return { host: `127.0.0.1:${port}` };
}

test('GET sends a query, POST a JSON body', async (t) => {
  const pve = await servePve(t, certificates, ({ method }) => ({ data: method === 'GET' ? [] : UPID }));
  const client = await clientOf(t, certificates, [pve]);
  await client.storages.list('pve1', { content: 'rootdir', enabled: true });
  await client.guests.shutdown(guest, { timeout: 5, forceStop: true });
  await client.guests.start(guest);
  const [list, shutdown, start] = pve.seen;
  t.like(list, {
    method: 'GET',
    path: '/nodes/pve1/storage',
    query: { content: 'rootdir', enabled: '1' },
    body: undefined,
  });
  t.is(list?.headers['content-type'], undefined);
  t.like(shutdown, { path: '/nodes/pve1/lxc/101/status/shutdown', body: { timeout: 5, forceStop: 1 }, query: {} });
  t.is(shutdown?.headers['content-type'], 'application/json');
  t.deepEqual(start?.body, {});
  t.is(start?.headers.authorization, `PVEAPIToken=cri@pve!k8s=${TOKEN}`);
});

test('DELETE sends no body', async (t) => {
  const pve = await servePve(t, certificates, () => ({ data: UPID }));
  const client = await clientOf(t, certificates, [pve]);
  await client.guests.delete(guest, { force: true, purge: true, destroyUnreferencedDisks: true });
  t.like(pve.seen[0], {
    method: 'DELETE',
    query: { force: '1', purge: '1', 'destroy-unreferenced-disks': '1' },
    body: undefined,
  });
  t.is(pve.seen[0]?.headers['transfer-encoding'], undefined);
});

test('names cannot lead to another method', (t) => {
  const path = (node: string, volume = 'a:b') =>
    pathOf({ method: 'GET', template: '/nodes/{node}/x/{volume}', at: { node, volume } });
  t.is(path('pve1', 'local:vztmpl/a b.tar'.replace(' ', '')), '/api2/json/nodes/pve1/x/local%3Avztmpl/ab.tar');
  for (const bad of ['', '.', '..', 'a/b', 'a?b', 'a#b', 'a b', 'a\0', 'a\\b']) {
    t.throws(() => path(bad), { instanceOf: CriError, code: StatusCode.INVALID_ARGUMENT }, bad);
  }
  t.throws(() => path('pve1', 'local:../../x'), { instanceOf: CriError });
});

test('another authority is refused', async (t) => {
  const pve = await servePve(t, certificates, () => ({ data: [] }));
  const client = await clientOf(t, certificates, [pve], { trust: { ca: certificates.otherCa } });
  const error = await t.throwsAsync(client.nodes.list(), { instanceOf: ProxmoxError, code: StatusCode.UNAVAILABLE });
  t.regex(error?.message ?? '', /certificate/);
  t.deepEqual(pve.seen, []);
});

test('an authority is read from a file', async (t) => {
  const pve = await servePve(t, certificates, () => ({ data: [] }));
  const client = await clientOf(t, certificates, [pve], { trust: { ca: { file: certificates.caFile } } });
  t.deepEqual(await client.nodes.list(), []);
});

test('a pinned fingerprint suffices, another is refused', async (t) => {
  const pve = await servePve(t, certificates, () => ({ data: UPID }));
  const right = certificates.fingerprint.toLowerCase();
  const client = await clientOf(t, certificates, [pve], { trust: { fingerprints: ['00'.repeat(32), right] } });
  await client.guests.start(guest);
  const wrong = await clientOf(t, certificates, [pve], { trust: { fingerprints: ['AB'.repeat(32)] } });
  const error = await t.throwsAsync(wrong.guests.start(guest), { instanceOf: ProxmoxError });
  t.regex(error?.message ?? '', new RegExp(certificates.fingerprint));
  t.false(error instanceof AmbiguousOutcomeError);
  t.is(pve.seen.length, 1);
});

test('authority and fingerprint must both hold', async (t) => {
  const pve = await servePve(t, certificates, () => ({ data: [] }));
  const { ca, otherCa, fingerprint } = certificates;
  for (const trust of [
    { ca, fingerprints: ['AB'.repeat(32)] },
    { ca: otherCa, fingerprints: [fingerprint] },
  ]) {
    const client = await clientOf(t, certificates, [pve], { trust });
    await t.throwsAsync(client.nodes.list(), { instanceOf: ProxmoxError, code: StatusCode.UNAVAILABLE });
  }
  const client = await clientOf(t, certificates, [pve], { trust: { ca, fingerprints: [fingerprint] } });
  t.deepEqual(await client.nodes.list(), []);
});

test('unusable settings are refused at once', async (t) => {
  const good = { hosts: ['a'], trust: { ca: certificates.ca }, credentials: token() };
  for (const bad of [
    { ...good, trust: {} },
    { ...good, trust: { fingerprints: ['AA:BB'] } },
    { ...good, trust: { ca: 'nothing' } },
    { ...good, hosts: [] },
    { ...good, hosts: ['https://a'] },
    { ...good, hosts: ['a/b'] },
    { ...good, hosts: ['user@a'] },
  ]) {
    await t.throwsAsync(connectProxmox(bad), { instanceOf: CriError });
  }
  for (const host of ['a', 'a:443', '::1', '[::1]:8007']) {
    await (await connectProxmox({ ...good, hosts: [host] })).close();
  }
});

function token() {
  return { kind: 'token', id: 'cri@pve!k8s', secret: new Secret(TOKEN) } as const;
}

test('connections end after 100 requests', async (t) => {
  const pve = await servePve(t, certificates, () => ({ data: [] }));
  const client = await clientOf(t, certificates, [pve], { reads: 1, writes: 1 });
  for (let i = 0; i < 201; i++) await client.nodes.list();
  const counts = [...Map.groupBy(pve.seen, ({ connection }) => connection).values()].map((seen) => seen.length);
  // Either side may close a connection earlier, when this machine lets it be idle for seconds.
  t.is(Math.max(...counts), 100, `requests of each connection: ${counts.join(', ')}`);
});

test('two Connection headers do no harm', async (t) => {
  const body = JSON.stringify({ data: UPID });
  const head = `HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: Keep-Alive\r\nContent-Type: application/json;charset=UTF-8`;
  const raw = `${head}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const pve = await servePve(t, certificates, () => ({ raw }));
  const client = await clientOf(t, certificates, [pve]);
  for (let i = 0; i < 3; i++) t.is((await client.guests.start(guest)).text, UPID);
});

test('a refused connection: the next host, for changes too', async (t) => {
  const pve = await servePve(t, certificates, () => ({ data: UPID }));
  const client = await clientOf(t, certificates, [await closedPort(), pve]);
  await client.guests.start(guest);
  await client.guests.start(guest);
  t.is(pve.seen.length, 2);
});

test('no host answers: all are named', async (t) => {
  const hosts = [await closedPort(), await closedPort()];
  const client = await clientOf(t, certificates, hosts);
  const error = await t.throwsAsync(client.guests.start(guest), {
    instanceOf: ProxmoxError,
    code: StatusCode.UNAVAILABLE,
  });
  t.false(error instanceof AmbiguousOutcomeError);
  for (const { host } of hosts) t.true(error?.message.includes(host), error?.message);
});

test('a host that ends: the next serves', async (t) => {
  const [first, second] = [
    await servePve(t, certificates, () => ({ data: [{ node: 'one', status: 'online' }] })),
    await servePve(t, certificates, () => ({ data: [{ node: 'two', status: 'online' }] })),
  ];
  const client = await clientOf(t, certificates, [first, second]);
  t.is((await client.nodes.list())[0]?.node, 'one');
  await first.close();
  t.is((await client.nodes.list())[0]?.node, 'two');
  // The host that answered last is asked first.
  t.is((await client.nodes.list())[0]?.node, 'two');
});

test('dropped connection: a read is repeated', async (t) => {
  let requests = 0;
  const pve = await servePve(t, certificates, () => (requests++ === 0 ? { drop: true } : { data: [] }));
  const client = await clientOf(t, certificates, [pve]);
  t.deepEqual(await client.nodes.list(), []);
  t.is(requests, 2);
});

test('dropped connection: a change is not repeated', async (t) => {
  const pve = await servePve(t, certificates, () => ({ drop: true }));
  const other = await servePve(t, certificates, () => ({ data: UPID }));
  const client = await clientOf(t, certificates, [pve, other]);
  const error = await t.throwsAsync(client.guests.start(guest), {
    instanceOf: AmbiguousOutcomeError,
    code: StatusCode.UNAVAILABLE,
  });
  t.deepEqual(error?.reread, ['/nodes/pve1/lxc/101/status/current', '/nodes/pve1/tasks?source=all&vmid=101']);
  t.is(pve.seen.length + other.seen.length, 1);
});

for (const status of [595, 596, 597, 599, 502, 504]) {
  test(`status ${status}: a change is ambiguous, a read repeated`, async (t) => {
    let requests = 0;
    const pve = await servePve(t, certificates, ({ method }) =>
      method === 'GET' && requests++ > 0 ? { data: [] } : { status, reason: 'Broken pipe', text: '' },
    );
    const client = await clientOf(t, certificates, [pve]);
    await t.throwsAsync(client.guests.start(guest), {
      instanceOf: AmbiguousOutcomeError,
      code: StatusCode.UNAVAILABLE,
    });
    t.deepEqual(await client.nodes.list(), []);
    t.is(pve.seen.filter(({ method }) => method === 'POST').length, 1);
  });
}

test('a host that does not reach the node is asked last', async (t) => {
  const unreachable = await servePve(t, certificates, () => ({ status: 595, reason: 'No route to host', text: '' }));
  const pve = await servePve(t, certificates, ({ method }) => ({ data: method === 'GET' ? [] : UPID }));
  const client = await clientOf(t, certificates, [unreachable, pve]);
  await t.throwsAsync(client.guests.start(guest), { instanceOf: AmbiguousOutcomeError });
  t.is((await client.guests.start(guest)).text, UPID);
  t.deepEqual(await client.nodes.list(), []);
  t.is(unreachable.seen.length, 1);
});

test('a time limit ends a call', async (t) => {
  const pve = await servePve(t, certificates, () => new Promise(() => undefined));
  const client = await clientOf(t, certificates, [pve], { timeoutMs: 100 });
  const read = await t.throwsAsync(client.nodes.list(), {
    instanceOf: ProxmoxError,
    code: StatusCode.DEADLINE_EXCEEDED,
  });
  t.false(read instanceof AmbiguousOutcomeError);
  const change = client.guests.start(guest, { timeoutMs: 50 });
  await t.throwsAsync(change, { instanceOf: AmbiguousOutcomeError, code: StatusCode.DEADLINE_EXCEEDED });
  // A request that the server has not read when the time is over is not seen at all.
  for (const method of ['GET', 'POST']) t.true(pve.seen.filter((seen) => seen.method === method).length <= 1);
});

test('abort: the reason for a read, ambiguous for a change', async (t) => {
  const arrived = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()] as const;
  const pve = await servePve(t, certificates, ({ method }) => {
    arrived[method === 'GET' ? 0 : 1].resolve(undefined);
    return new Promise(() => undefined);
  });
  const client = await clientOf(t, certificates, [pve]);
  const reason = new Error('the pod is gone');
  for (const [index, call] of [
    (signal: AbortSignal) => client.nodes.list({ signal }),
    (signal: AbortSignal) => client.guests.start(guest, { signal }),
  ].entries()) {
    const abort = new AbortController();
    const pending = call(abort.signal);
    await Promise.race([arrived[index as 0 | 1].promise, pending]);
    abort.abort(reason);
    if (index === 0) t.is(await t.throwsAsync(pending), reason);
    else await t.throwsAsync(pending, { instanceOf: AmbiguousOutcomeError, code: StatusCode.CANCELLED });
  }
  // Before anything is sent a change has not happened.
  t.is(await t.throwsAsync(client.guests.start(guest, { signal: AbortSignal.abort(reason) })), reason);
  t.is(pve.seen.length, 2);
});

test('an answer that is none', async (t) => {
  let reply: { text?: string; data?: unknown } = { text: '<html>' };
  const pve = await servePve(t, certificates, () => reply);
  const client = await clientOf(t, certificates, [pve]);
  for (reply of [{ text: '<html>' }, { data: { a: 1 } }, { data: [{ node: {} }] }]) {
    await t.throwsAsync(client.nodes.list(), { instanceOf: ProxmoxError, code: StatusCode.INTERNAL });
    await t.throwsAsync(client.guests.start(guest), { instanceOf: AmbiguousOutcomeError, code: StatusCode.INTERNAL });
  }
});
