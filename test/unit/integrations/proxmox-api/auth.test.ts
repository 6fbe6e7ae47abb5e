import test, { type ExecutionContext } from 'ava';
import { createHmac, createPublicKey, createVerify, generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';
import { Secret } from '../../../../src/integrations/proxmox-api/auth/secret.ts';
import { ProxmoxError } from '../../../../src/integrations/proxmox-api/errors/proxmox-error.ts';
import { type Certificates, makeCertificates } from './certificates.ts';
import { clientOf, type Reply, type Seen, servePve, TOKEN } from './scripted-pve.ts';

const HOUR = 3_600_000;
const guest = { kind: 'lxc', node: 'pve1', vmid: 101 } as const;
const UPID = 'UPID:pve1:0000049B:00058DF8:6B036CD9:vzstart:101:k8s@pve:';

let certificates: Certificates;
let dispose: () => Promise<void>;
test.before(async () => {
  ({ dispose, ...certificates } = await makeCertificates());
});
test.after.always(() => dispose());

/** A server that gives out tickets T1, T2, … and takes those of `valid`. */
function ticketServer(password: string) {
  const logins: unknown[] = [];
  const valid = new Set<string>();
  const answer = ({ method, path, headers, body }: Seen): Reply => {
    if (path === '/access/ticket') {
      logins.push(body);
      const { username, password: given } = body as { username: string; password: string };
      if (given !== password && !valid.has(given)) return { status: 401, message: 'authentication failure\n' };
      const ticket = `PVE:${username}:T${logins.length}::sig+/=`;
      valid.add(ticket);
      return { data: { ticket, CSRFPreventionToken: `csrf-of-T${logins.length}`, username } };
    }
    const ticket = decodeURIComponent(headers.cookie?.replace('PVEAuthCookie=', '') ?? '');
    if (!valid.has(ticket)) return { status: 401, reason: 'Authentication failed!', text: '' };
    const number = /T(\d+)/.exec(ticket)?.[1] ?? '';
    if (method !== 'GET' && headers['csrfpreventiontoken'] !== `csrf-of-T${number}`) {
      return { status: 401, reason: 'Permission denied - invalid csrf token', text: '' };
    }
    return { data: method === 'GET' ? [] : UPID };
  };
  return { logins, valid, answer };
}

test('one login serves many calls, with the CSRF header for changes', async (t) => {
  const server = ticketServer('a pass phrase');
  const pve = await servePve(t, certificates, server.answer);
  const password = new Secret('a pass phrase');
  const client = await clientOf(t, certificates, [pve], {
    credentials: { kind: 'password', username: 'k8s@pve', password },
  });
  await Promise.all([client.nodes.list(), client.pools.list(), client.guests.start(guest)]);
  await client.guests.start(guest);
  t.deepEqual(server.logins, [{ username: 'k8s@pve', password: 'a pass phrase' }]);
  t.is(pve.seen.find(({ method }) => method === 'GET')?.headers['csrfpreventiontoken'], undefined);
});

test('a ticket is renewed by itself before two hours', async (t) => {
  let now = 0;
  const server = ticketServer('a pass phrase');
  const pve = await servePve(t, certificates, server.answer);
  const password = new Secret('a pass phrase');
  const client = await clientOf(t, certificates, [pve], {
    credentials: { kind: 'password', username: 'k8s@pve', password, now: () => now },
  });
  await client.nodes.list();
  now = HOUR - 1;
  await client.nodes.list();
  t.is(server.logins.length, 1);
  now = HOUR;
  await client.nodes.list();
  // The old ticket is the proof.
  t.deepEqual(server.logins[1], { username: 'k8s@pve', password: 'PVE:k8s@pve:T1::sig+/=' });
  now = 3 * HOUR + 1;
  await client.nodes.list();
  t.deepEqual(server.logins[2], { username: 'k8s@pve', password: 'a pass phrase' });
});

test('a failing renewal leaves the old ticket in use', async (t) => {
  let now = 0;
  let isDown = false;
  const server = ticketServer('a pass phrase');
  const pve = await servePve(t, certificates, (seen) =>
    isDown && seen.path === '/access/ticket' ? { status: 500, message: 'got timeout\n' } : server.answer(seen),
  );
  const client = await clientOf(t, certificates, [pve], {
    credentials: { kind: 'password', username: 'k8s@pve', password: new Secret('a pass phrase'), now: () => now },
  });
  await client.nodes.list();
  isDown = true;
  now = HOUR;
  t.deepEqual(await client.nodes.list(), []);
});

test('an expired ticket: one new login, the call again', async (t) => {
  const server = ticketServer('a pass phrase');
  const pve = await servePve(t, certificates, server.answer);
  const client = await clientOf(t, certificates, [pve], {
    credentials: { kind: 'password', username: 'k8s@pve', password: new Secret('a pass phrase') },
  });
  await client.nodes.list();
  server.valid.clear();
  const started = await Promise.all([client.guests.start(guest), client.guests.start(guest)]);
  t.deepEqual(
    started.map(({ text }) => text),
    [UPID, UPID],
  );
  t.is(server.logins.length, 2);
});

test('wrong password: unauthenticated, nothing repeated', async (t) => {
  const server = ticketServer('a pass phrase');
  const pve = await servePve(t, certificates, server.answer);
  const client = await clientOf(t, certificates, [pve], {
    credentials: { kind: 'password', username: 'k8s@pve', password: new Secret('another one') },
  });
  await t.throwsAsync(client.nodes.list(), { instanceOf: ProxmoxError, code: StatusCode.UNAUTHENTICATED });
  t.is(pve.seen.length, 1);
});

test('a second factor is refused with the remedy', async (t) => {
  const pve = await servePve(t, certificates, () => ({
    data: { ticket: 'PVE:!tfa!x', CSRFPreventionToken: 'x', NeedTFA: 1 },
  }));
  const client = await clientOf(t, certificates, [pve], {
    credentials: { kind: 'password', username: 'k8s@pve', password: new Secret('a pass phrase') },
  });
  await t.throwsAsync(client.nodes.list(), { instanceOf: CriError, message: /use an API token/ });
});

test('a refused token: 401 with an empty body', async (t) => {
  const pve = await servePve(t, certificates, () => ({ status: 401, reason: 'No ticket', text: '' }));
  const client = await clientOf(t, certificates, [pve]);
  await t.throwsAsync(client.nodes.list(), {
    instanceOf: ProxmoxError,
    code: StatusCode.UNAUTHENTICATED,
    message: /No ticket/,
  });
  t.is(pve.seen.length, 1);
});

async function directory(t: ExecutionContext, files: Record<string, string>): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'pve-auth-'));
  t.teardown(() => rm(made, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) await writeFile(join(made, name), content, { mode: 0o600 });
  return made;
}

test('a token is read from a file, again after a rotation', async (t) => {
  const made = await directory(t, { token: `cri@pve!k8s=${TOKEN}\n`, value: `${TOKEN}\n` });
  let accepted = TOKEN;
  const pve = await servePve(t, certificates, ({ headers }) =>
    headers.authorization === `PVEAPIToken=cri@pve!k8s=${accepted}`
      ? { data: [] }
      : { status: 401, reason: 'Authentication failed!', text: '' },
  );
  const secret = { file: join(made, 'token') };
  const client = await clientOf(t, certificates, [pve], { credentials: { kind: 'token', secret } });
  await client.nodes.list();
  accepted = '00000000-1111-4222-8333-444444444444';
  await writeFile(secret.file, `cri@pve!k8s=${accepted}`);
  await client.nodes.list();
  t.is(pve.seen.length, 3);
  const other = await clientOf(t, certificates, [pve], {
    credentials: { kind: 'token', id: 'cri@pve!k8s', secret: { file: join(made, 'value') } },
  });
  accepted = TOKEN;
  t.deepEqual(await other.nodes.list(), []);
});

test('an unusable file is named', async (t) => {
  const made = await directory(t, { empty: '\n', odd: 'a value with blanks' });
  const pve = await servePve(t, certificates, () => ({ data: [] }));
  for (const [name, message] of [
    ['missing', /missing: does not exist/],
    ['empty', /empty: is empty/],
    ['odd', /^API token: expected/],
  ] as const) {
    const client = await clientOf(t, certificates, [pve], {
      credentials: { kind: 'token', id: 'cri@pve!k8s', secret: { file: join(made, name) } },
    });
    await t.throwsAsync(client.nodes.list(), { instanceOf: CriError, code: StatusCode.FAILED_PRECONDITION, message });
  }
  t.deepEqual(pve.seen, []);
});

/** What the server does with a ticket and a CSRF header (pve-common, Ticket.pm). */
function verifier(publicKey: string, csrfKey: string, digest: 'sha1' | 'sha256') {
  const base64 = (key: string, text: string) =>
    createHmac('sha256', key).update(text).digest('base64').replace(/=+$/, '');
  return ({ method, headers }: Seen): Reply => {
    const ticket = decodeURIComponent(headers.cookie?.replace('PVEAuthCookie=', '') ?? '');
    const [, plain = '', signature = ''] = /^(PVE:root@pam:[0-9A-F]{8})::([^:\s]+)$/.exec(ticket) ?? [];
    const isSigned = createVerify(digest).update(plain).verify(createPublicKey(publicKey), signature, 'base64');
    const age = Date.now() / 1000 - Number.parseInt(plain.split(':')[2] ?? '0', 16);
    if (!isSigned || age < -300 || age > 7200) return { status: 401, reason: 'permission denied', text: '' };
    const [date = '', sum] = String(headers['csrfpreventiontoken'] ?? '').split(':');
    const isCsrf = sum === base64(base64(csrfKey, ''), `${date}:root@pam`);
    if (method !== 'GET' && !isCsrf) return { status: 401, reason: 'invalid csrf token', text: '' };
    return { data: method === 'GET' ? [] : UPID };
  };
}

for (const digest of ['sha1', 'sha256'] as const) {
  test(`a root@pam ticket is made from the node's keys (${digest})`, async (t) => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
    });
    const csrfKey = '-----BEGIN RSA PRIVATE KEY-----\nnot read as a key\n';
    const made = await directory(t, { 'authkey.key': privateKey, 'pve-www.key': csrfKey });
    const verify = verifier(publicKey, csrfKey, digest);
    const pve = await servePve(t, certificates, (seen) =>
      seen.headers.authorization === undefined ? verify(seen) : { data: UPID },
    );
    const root = {
      kind: 'local-root',
      authKeyFile: join(made, 'authkey.key'),
      csrfKeyFile: join(made, 'pve-www.key'),
    } as const;
    const client = await clientOf(t, certificates, [pve], { root });
    await client.guests.start(guest, { asRoot: true });
    t.is(pve.seen.length, digest === 'sha1' ? 1 : 2);
    await client.nodes.list({ asRoot: true });
    // Other calls keep the token.
    await client.guests.start(guest);
    t.is(pve.seen.at(-1)?.headers.cookie, undefined);
    await writeFile(root.authKeyFile, 'no key');
    const broken = await clientOf(t, certificates, [pve], { root });
    await t.throwsAsync(broken.nodes.list({ asRoot: true }), { message: /authkey\.key: is not a private key/ });
  });
}

test('root is refused where it is not configured', async (t) => {
  const pve = await servePve(t, certificates, () => ({ data: UPID }));
  const client = await clientOf(t, certificates, [pve]);
  await t.throwsAsync(client.guests.start(guest, { asRoot: true }), { code: StatusCode.FAILED_PRECONDITION });
  t.deepEqual(pve.seen, []);
});
