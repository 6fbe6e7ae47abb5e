import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import test, { type ExecutionContext } from 'ava';
import { hashPassword } from '../pve/api/access/session.ts';
import { startCluster } from '../pve/cluster.ts';
import { type Certificate, makeCertificate } from '../pve/http/certificate.ts';
import { programFile } from '../lib/program.ts';

const PLANTED = 'planted-0f5c2d1e';
const MAIN = programFile('main');

/** What must be nowhere: planted values, tickets and CSRF tokens as they are and encoded, header values, keys. */
const SECRETS: readonly RegExp[] = [
  new RegExp(PLANTED),
  /PVE(?::|%3A)[^\s:%]+(?:@|%40)(?:pam|pve)(?::|%3A)[0-9A-F]{8}(?::|%3A){2}/,
  /\b[0-9A-F]{8}:[A-Za-z0-9+/]{43}\b/,
  /PVEAPIToken=|PVEAuthCookie=/,
  /PRIVATE KEY/,
];

function leaks(output: string): string[] {
  return SECRETS.flatMap((secret) => secret.exec(output)?.[0] ?? []);
}

let certificate: Certificate;
test.before(async () => {
  certificate = await makeCertificate('pve1');
});

async function temporary(t: ExecutionContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'pve-secrets-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** Starts a program that ends with the test. */
function start(t: ExecutionContext, command: readonly string[], cwd: string): ChildProcessWithoutNullStreams {
  const [program = '', ...args] = command;
  const child = spawn(program, args, {
    cwd,
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, NODE_DEBUG: 'undici,tls,net' },
  });
  t.teardown(() => child.kill('SIGKILL'));
  return child;
}

/** Arguments and environment of a process, as other users' tools and reports show them. */
async function outside(pid: number | undefined): Promise<string> {
  const of = (name: string) => readFile(`/proc/${String(pid)}/${name}`, 'utf8');
  return `${await of('cmdline')}\n${await of('environ')}`;
}

async function configure(directory: string, host: string, secret: string, more = ''): Promise<string> {
  const [file, token] = [join(directory, 'config.toml'), join(directory, 'token')];
  await writeFile(token, secret, { mode: 0o600 });
  const lines = [
    `root = "${directory}/root"\nstate = "${directory}/state"\n[grpc]\nlisten = "unix://${directory}/s.sock"\n[log]\nlevel = "debug"\n[proxmox]\nhosts = ["${host}"]`,
    `token_id = "k8s@pve!node"\ntoken_file = "${token}"\nnode = "pve1"\n${more}`,
  ];
  await writeFile(file, lines.join('\n'));
  return file;
}

/** Everything that a command of the program writes. */
async function run(t: ExecutionContext, directory: string, ...args: string[]): Promise<string> {
  const child = start(t, [process.execPath, MAIN, ...args], directory);
  child.stdin.end();
  const [out, error] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return `${out}\n${error}`;
}

test('the patterns find what they look for', (t) => {
  const ticket = 'PVE:root@pam:6745A1B2::c2ln';
  const samples = [`x ${PLANTED}`, ticket, encodeURIComponent(ticket), `6745A1B2:${'a'.repeat(43)}`, 'PVEAPIToken=x'];
  for (const sample of samples) t.is(leaks(sample).length, 1, sample);
});

test('doctor and config print no secret', async (t) => {
  const directory = await temporary(t);
  const cluster = await startCluster({ certificate });
  t.teardown(() => cluster.close());
  const { store, faults } = cluster.state;
  store.users['k8s@pve'] = { enable: 1, expire: 0 };
  store.tokens['k8s@pve!node'] = { secret: PLANTED, privsep: 1, expire: 0 };
  const host = new URL(cluster.nodes[0]?.url ?? '').host;
  const pin = (fingerprint: string) => `fingerprints = ["${fingerprint}"]`;
  const right = pin(certificate.fingerprint);
  const outputs: string[] = [];
  const doctor = async (pattern: RegExp, ...args: string[]) => {
    const output = await run(t, directory, 'doctor', '--config', join(directory, 'config.toml'), ...args);
    t.true(pattern.test(output.replaceAll(/\s+/g, ' ')), `${String(pattern)} in ${output.slice(-3000)}`);
    outputs.push(output);
  };
  await configure(directory, host, PLANTED, right);
  await doctor(/lacks VM\.Allocate/);
  await doctor(/lacks VM\.Allocate/, '-o', 'json');
  faults.add({
    effect: { kind: 'status', when: 'before', status: 500, reason: 'it failed' },
    match: { path: '/access' },
  });
  await doctor(/it failed/);
  faults.add({ effect: { kind: 'drop', when: 'before' }, match: { path: '/version' }, times: 0 });
  await doctor(/Proxmox host/);
  faults.clear();
  await configure(directory, host, `${PLANTED}x`, right);
  await doctor(/was refused/);
  await configure(directory, host, `k8s@pve!node=${PLANTED}`, right);
  await doctor(/holds more than the secret/);
  await configure(directory, host, PLANTED, pin(certificate.fingerprint.replace(/^../, '00')));
  await doctor(/which is not trusted/);
  const file = await configure(directory, '127.0.0.1:1', PLANTED, right);
  await doctor(/ECONNREFUSED/);
  for (const verb of ['dump', 'check']) outputs.push(await run(t, directory, 'config', verb, '--config', file));
  await writeFile(file, (await readFile(file, 'utf8')).replace('!node"', `!node=${PLANTED}"`));
  await doctor(/proxmox\.token_id: must be the id/);
  t.deepEqual(outputs.flatMap(leaks), []);
});

test('clients of every kind show no secret', async (t) => {
  const directory = await temporary(t);
  const cluster = await startCluster({ certificate });
  t.teardown(() => cluster.close());
  const { store } = cluster.state;
  store.users['k8s@pve'] = { enable: 1, expire: 0, password: hashPassword(PLANTED) };
  store.tokens['k8s@pve!node'] = { secret: PLANTED, privsep: 1, expire: 0 };
  const [right, wrong] = [join(directory, 'right'), join(directory, 'wrong')];
  await writeFile(right, PLANTED);
  await writeFile(wrong, `${PLANTED}-wrong`);
  const keys = join(cluster.state.directory, 'etc/pve');
  const plan = {
    host: new URL(cluster.nodes[0]?.url ?? '').host,
    fingerprints: [certificate.fingerprint],
    report: join(directory, 'report.json'),
    variable: right,
    credentials: [
      ...[right, wrong].map((file) => ({ kind: 'token', id: 'k8s@pve!node', secret: { file } })),
      { kind: 'local-root', authKeyFile: join(keys, 'priv/authkey.key'), csrfKeyFile: join(keys, 'pve-www.key') },
      ...[wrong, right].map((file) => ({ kind: 'password', username: 'k8s@pve', password: { file } })),
    ],
  };
  const child = start(
    t,
    [process.execPath, resolve('test/integration/pve-secrets-victim.ts'), JSON.stringify(plan)],
    directory,
  );
  const errors = text(child.stderr);
  const lines = createInterface({ input: child.stdout });
  const first = await Promise.race([once(lines, 'line'), once(child, 'close')]);
  t.is(String(first[0]), 'shown', child.exitCode === null ? '' : await errors);
  const shown = await outside(child.pid);
  child.stdin.end();
  const [code] = (await once(child, 'close')) as [number];
  t.is(code, 1);
  const output = await errors;
  for (const part of ['"level":"debug","msg":"A call failed"', 'Permission check failed', 'Authentication failed!'])
    t.true(output.includes(part), part);
  t.true(/Node\.js v\d+/.test(output.slice(-200)), output.slice(-1000));
  t.deepEqual(leaks([shown, output, await readFile(plan.report, 'utf8')].join('\n')), []);
});

test('a core dump of doctor holds no secret', async (t) => {
  const pattern = (await readFile('/proc/sys/kernel/core_pattern', 'utf8')).trim();
  if (!/^[\w.%-]+$/.test(pattern)) {
    t.log(`skipped: core dumps go elsewhere (${pattern})`);
    t.pass();
    return;
  }
  const directory = await temporary(t);
  // It never answers: the request is there, and doctor waits with its token.
  const server = createServer({ cert: certificate.certificate, key: certificate.key });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  const port = String((server.address() as AddressInfo).port);
  const file = await configure(
    directory,
    `127.0.0.1:${port}`,
    PLANTED,
    `fingerprints = ["${certificate.fingerprint}"]`,
  );
  const command = 'ulimit -c unlimited; exec "$@"';
  const child = start(
    t,
    ['/bin/sh', '-c', command, 'sh', process.execPath, MAIN, 'doctor', '--config', file],
    directory,
  );
  const output = text(child.stderr);
  const [request] = (await Promise.race([once(server, 'request'), once(child, 'close')])) as [
    { headers?: Record<string, string> },
  ];
  t.is(request.headers?.['authorization'], `PVEAPIToken=k8s@pve!node=${PLANTED}`);
  const shown = await outside(child.pid);
  const ended = once(child, 'close');
  child.kill('SIGABRT');
  t.is((await ended)[1], 'SIGABRT');
  const cores = (await readdir(directory)).filter((name) => name.startsWith(pattern.split('%')[0] ?? ''));
  t.is(cores.length, 1, `no core dump among ${(await readdir(directory)).join(', ')}`);
  const path = join(directory, cores[0] ?? '');
  const { size } = await stat(path);
  t.true(size < 2 ** 24, `a dump of ${size} bytes holds memory`);
  const core = await readFile(path, 'latin1');
  t.true(core.startsWith('\x7fELF'));
  t.deepEqual(leaks([shown, await output, core].join('\n')), []);
});
