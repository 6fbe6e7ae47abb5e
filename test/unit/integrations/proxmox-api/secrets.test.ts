import test from 'ava';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { formatJson, formatText } from '../../../../src/core/logging/formats.ts';
import { Scrubber, sensitiveValues } from '../../../../src/integrations/proxmox-api/auth/scrubber.ts';
import { Secret } from '../../../../src/integrations/proxmox-api/auth/secret.ts';
import type { CredentialOptions } from '../../../../src/integrations/proxmox-api/client.ts';
import { type Certificates, makeCertificates } from './certificates.ts';
import { clientOf, type Reply, type Seen, servePve, TOKEN } from './scripted-pve.ts';

const PASSWORD = 'pläntéd "pass" phrase/%2B';
const VARIABLE = 'planted-variable-of-a-pod';
const guest = { kind: 'lxc', node: 'pve1', vmid: 101 } as const;

let certificates: Certificates;
let dispose: () => Promise<void>;
test.before(async () => {
  ({ dispose, ...certificates } = await makeCertificates());
});
test.after.always(() => dispose());

/** All the ways in which a value gets into an output. */
function outputs(value: unknown): string {
  const entry = { level: 'error', message: 'It failed', time: new Date(), fields: { value, error: value } } as never;
  const inspected = inspect(value, { depth: 12, showHidden: true, maxStringLength: null });
  const parts = [String(value), JSON.stringify(value), inspected, formatJson(entry), formatText(entry, false)];
  if (value instanceof Error)
    parts.push(value.stack ?? '', inspect(value.cause), JSON.stringify(Object.entries(value)));
  return parts.join('\n');
}

test('a Secret shows itself nowhere', (t) => {
  const secret = new Secret('planted-value');
  const nested = { secret, list: [secret], map: new Map([['a', secret]]) };
  for (const value of [secret, nested]) t.false(outputs(value).includes('planted-value'));
  t.is(String(secret), '[redacted]');
  t.is(secret.reveal(), 'planted-value');
});

test('a scrubber knows a secret in each spelling', (t) => {
  const scrubber = new Scrubber([new Secret(PASSWORD), 'short', '']);
  const text = `a ${PASSWORD} b ${encodeURIComponent(PASSWORD)} c ${JSON.stringify(PASSWORD)} short`;
  t.is(scrubber.clean(text), 'a [redacted] b [redacted] c "[redacted]" short');
  t.deepEqual(sensitiveValues({ env: 'A=secret-one\0B=x', cipassword: 'c', hostname: 'h', memory: 5 }), [
    'A=secret-one\0B=x',
    'secret-one',
    'x',
    'c',
  ]);
});

test('no secret in any error, whatever the server says', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'pve-secrets-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const { privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  });
  const [authKeyFile, csrfKeyFile] = [join(directory, 'authkey.key'), join(directory, 'pve-www.key')];
  await writeFile(authKeyFile, privateKey);
  await writeFile(csrfKeyFile, 'planted-csrf-key');

  // What a client sends as a credential, and what it got: nothing of it may come back.
  const planted = new Set([TOKEN, PASSWORD, encodeURIComponent(PASSWORD), VARIABLE, 'planted-csrf-key']);
  const note = ({ headers }: Seen) => {
    const cookie = headers.cookie?.replace('PVEAuthCookie=', '');
    if (cookie !== undefined) planted.add(cookie).add(decodeURIComponent(cookie));
    const csrf = headers['csrfpreventiontoken'];
    if (typeof csrf === 'string') planted.add(csrf);
  };
  const ticket = 'PVE:k8s@pve:planted-ticket::c2ln+/=';
  let answer: (echo: string) => Reply = () => ({ data: null });
  const pve = await servePve(t, certificates, (seen) => {
    note(seen);
    const echo = JSON.stringify([seen.headers, seen.body]);
    const isLogin = seen.path === '/access/ticket';
    return isLogin ? { data: { ticket, CSRFPreventionToken: 'planted:csrf' } } : answer(echo);
  });
  const credentials: CredentialOptions[] = [
    { kind: 'token', id: 'cri@pve!k8s', secret: new Secret(TOKEN) },
    { kind: 'password', username: 'k8s@pve', password: new Secret(PASSWORD) },
    { kind: 'local-root', authKeyFile, csrfKeyFile },
  ];
  const answers: ((echo: string) => Reply)[] = [
    (echo) => ({ status: 500, message: `it failed: ${echo}` }),
    (echo) => ({ status: 500, reason: echo.replaceAll(/[^\x20-\x7e]/g, '?'), text: '' }),
    (echo) => ({ status: 400, message: 'Parameter verification failed.', errors: { env: echo } }),
    (echo) => ({ status: 403, message: `Permission check failed (${echo})` }),
    (echo) => ({ status: 401, reason: 'No ticket', text: echo }),
    (echo) => ({ text: `<html>${echo}` }),
    (echo) => ({ data: { echo: JSON.parse(echo) as unknown } }),
    (echo) => ({ raw: `HTTP/1.1 200 OK\r\nContent-Length: x${echo}\r\n\r\n` }),
    () => ({ drop: true }),
  ];
  for (const each of credentials) {
    const client = await clientOf(t, certificates, [pve], { credentials: each });
    t.false(outputs([client, each]).includes('planted'));
    for (answer of answers) {
      for (const call of [
        () => client.nodes.list(),
        () => client.guests.configure(guest, { set: { env: `TOKEN=${VARIABLE}\0B=1` } }),
        () => client.guests.create(guest, { ostemplate: 'x', cipassword: PASSWORD, description: 'x' }),
      ]) {
        const error = await t.throwsAsync(call);
        const shown = outputs(error);
        for (const secret of planted) t.false(shown.includes(secret), `${secret} in ${shown}`);
      }
    }
  }
});

test('no secret in the error of a login', async (t) => {
  const ticket = 'PVE:k8s@pve:planted-ticket::c2ln+/=';
  let answer: (body: string) => Reply = () => ({});
  const pve = await servePve(t, certificates, ({ body }) => answer(JSON.stringify(body)));
  const password = new Secret(PASSWORD);
  const client = await clientOf(t, certificates, [pve], {
    credentials: { kind: 'password', username: 'k8s@pve', password },
  });
  const answers: ((body: string) => Reply)[] = [
    (body) => ({ status: 401, message: `authentication failure ${body}` }),
    (body) => ({ status: 500, message: `cannot bind ${body}` }),
    () => ({ text: `{"data":{"ticket":"${ticket}"` }),
    () => ({ data: { ticket, NeedTFA: 1 } }),
    () => ({ data: [ticket] }),
  ];
  for (answer of answers) {
    const shown = outputs(await t.throwsAsync(client.nodes.list()));
    for (const secret of [PASSWORD, 'planted-ticket', JSON.stringify(PASSWORD).slice(1, -1)]) {
      t.false(shown.includes(secret), shown);
    }
  }
});
