import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { hashPassword } from '../api/access/session.ts';
import { startCluster } from '../cluster.ts';
import { ApiOnlyRuntime, type GuestRuntime } from '../guests/runtime.ts';
import { LxcRuntime } from '../lxc/runtime.ts';
import { newConfig } from '../api/cluster/storages.ts';
import type { PoolConfig } from '../state/store.ts';
import { QemuRuntime } from '../qemu/runtime.ts';
import { serveControl } from './control.ts';

const usage = `Usage: test/pve/node [options]

Simulates a Proxmox VE cluster's API over HTTPS.

  --listen ADDRESS:PORT  first node's address; the next nodes take the next ports (127.0.0.1:8006)
  --version 8.4|9.2      release to be (9.2)
  --nodes A,B            names of the nodes (pve1,pve2)
  --directory DIR        where guests, volumes and tasks stay (a temporary directory, removed at the end)
  --guests KINDS         none, lxc, qemu or lxc,qemu: which guests are real; starting another one notes that it runs (none).
                         Both need root, cgroup v2 and bridges that exist, such as vmbr0; lxc needs AppArmor and LXC,
                         qemu the package qemu-system-x86
  --zfspool ID=POOL[,..] a storage of type zfspool, with its properties as the API has them: data=tank/data,sparse=1; may
                         be repeated. With real guests it is a pool of this machine, otherwise a note
  --pace FACTOR          factor on the durations of a real node, 0 for none (1)
  --help                 print this
`;

const runtimes: Readonly<Record<string, () => GuestRuntime>> = {
  none: () => new ApiOnlyRuntime(),
  lxc: () => new LxcRuntime(),
  qemu: () => new QemuRuntime(),
  'lxc,qemu': () => new QemuRuntime(new LxcRuntime()),
};

function fail(message: string): never {
  process.stderr.write(`test/pve/node: ${message}\n`);
  process.exit(2);
}

function options(): Record<string, string | boolean | readonly string[] | undefined> {
  const string = { type: 'string' } as const;
  try {
    return parseArgs({
      options: {
        listen: string,
        version: string,
        nodes: string,
        directory: string,
        guests: string,
        zfspool: { ...string, multiple: true },
        pace: string,
        help: { type: 'boolean' },
      },
    }).values;
  } catch (error) {
    return fail(`${(error as Error).message}. Use --help.`);
  }
}

/** A storage as --zfspool has it. */
function poolOf(written: string): [id: string, config: PoolConfig] {
  const [, id, pool, rest] =
    /^([a-z][a-z0-9\-_.]*[a-z0-9])=([^,=]+)((?:,[a-z]+=[^,]+)*)$/i.exec(written) ??
    fail(`--zfspool must be ID=POOL[,KEY=VALUE...], not '${written}'`);
  const values = [...rest!.matchAll(/,([a-z]+)=([^,]+)/gi)].map(([, key, value]) => [key!, value!] as const);
  const config = newConfig('zfspool', {
    pool: pool!,
    ...Object.fromEntries(values.map(([key, value]) => [key, /^[01]$/.test(value) ? Number(value) : value])),
  });
  return [id!, config as PoolConfig];
}

const given = options();
if (given['help'] === true) {
  process.stdout.write(usage);
  process.exit(0);
}
const release = String(given['version'] ?? '9.2');
if (release !== '8.4' && release !== '9.2') fail(`--version must be 8.4 or 9.2, not '${release}'`);
const [, host, port] =
  /^(.+):(\d+)$/.exec(String(given['listen'] ?? '127.0.0.1:8006')) ?? fail('--listen must be ADDRESS:PORT');
const pace = Number(given['pace'] ?? 1);
if (!(pace >= 0)) fail('--pace must be a number of 0 or more');
const runtime = runtimes[String(given['guests'] ?? 'none')] ?? fail('--guests must be none, lxc, qemu or lxc,qemu');
let storages: Record<string, PoolConfig> = {};
try {
  storages = Object.fromEntries([given['zfspool'] ?? []].flat().map((written) => poolOf(String(written))));
} catch (error) {
  fail(`--zfspool: ${(error as Error).message}`);
}
const directory = given['directory'] === undefined ? undefined : resolve(String(given['directory']));
if (directory !== undefined) await mkdir(directory, { recursive: true });

const cluster = await startCluster({
  release,
  nodes: String(given['nodes'] ?? 'pve1,pve2').split(','),
  host: host!,
  port: Number(port),
  pace,
  runtime: runtime(),
  storages,
  ...(directory === undefined ? {} : { directory }),
}).catch((error: unknown) => fail((error as Error).message));
const password = randomBytes(12).toString('base64url');
cluster.state.store.users['root@pam']!.password = hashPassword(password);
const token = cluster.token('root@pam', 'node');
const socket = join(cluster.state.directory, 'control.sock');
const control = await serveControl(cluster, socket).catch((error: unknown) =>
  fail(`control socket ${socket}: ${(error as Error).message}`),
);

for (const { name, url, fingerprint } of cluster.nodes)
  process.stdout.write(`${name}: ${url}\n  fingerprint ${fingerprint}\n`);
process.stdout.write(`token: ${token}\nroot@pam password: ${password}\ncontrol socket: ${socket}\n`);

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    control.close();
    control.closeAllConnections();
    void cluster.close().then(() => process.exit(0));
  });
}
