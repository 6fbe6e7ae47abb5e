import { join } from 'node:path';
import test from 'ava';
import { Secret } from '../../../src/integrations/proxmox-api/auth/secret.ts';
import { connectProxmox, type ProxmoxClient } from '../../../src/integrations/proxmox-api/client.ts';
import type { GuestKind } from '../../../src/integrations/proxmox-api/guests/guest.ts';
import { ApiSchema } from '../../pve/schema/api-schema.ts';
import { unlisted } from '../../pve/schema/deviations.ts';
import { checkExchanges, summarize } from '../../pve/schema/exchanges.ts';
import { recorded } from './recorded.ts';
import { recordedCluster } from './simulated.ts';

const schemas = recorded('pve-api', 'The check of our client and of the simulated node against the API schema is');

/** Parts of the client with endpoints of their own. */
const PARTS = [
  'access',
  'backupJobs',
  'cluster',
  'firewall',
  'guests',
  'ha',
  'networks',
  'nodes',
  'pools',
  'snapshots',
  'storages',
  'tasks',
] as const;

/** The client, with a note of each of its methods that is called; and the methods that were not. */
function watched(client: ProxmoxClient): { client: ProxmoxClient; uncalled: () => string[] } {
  const all = new Set<string>();
  const called = new Set<string>();
  const parts = PARTS.map((name) => {
    const part = client[name];
    for (const method of Object.getOwnPropertyNames(Object.getPrototypeOf(part)))
      if (method !== 'constructor' && !method.startsWith('#')) all.add(`${name}.${method}`);
    const proxy = new Proxy(part, {
      get(target, method) {
        called.add(`${name}.${String(method)}`);
        const value: unknown = Reflect.get(target, method);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
    return [name, proxy];
  });
  const proxied = Object.fromEntries(parts) as unknown as ProxmoxClient;
  return { client: proxied, uncalled: () => [...all].filter((name) => !called.has(name)) };
}

const SETTINGS: Record<GuestKind, Record<string, string | number | boolean>> = {
  lxc: {
    ostemplate: 'local:vztmpl/mini.tar.gz',
    rootfs: 'btr:1',
    ostype: 'unmanaged',
    unprivileged: true,
    hostname: 'pod',
    memory: 64,
    swap: 0,
    net0: 'name=eth0,bridge=vmbr0,ip=dhcp',
    tags: 'k8s',
  },
  qemu: { name: 'pod', memory: 64, scsi0: 'btr:1', net0: 'virtio,bridge=vmbr0', tags: 'k8s' },
};

/** The life of a guest, with everything that can be asked about it. */
async function guestLife(client: ProxmoxClient, kind: GuestKind, vmid: number, release: string): Promise<void> {
  const { guests, snapshots, tasks, firewall, ha } = client;
  const ref = { kind, node: 'pve1', vmid };
  await tasks.follow(await guests.create(ref, SETTINGS[kind]));
  await guests.list(kind, 'pve1');
  const { digest } = await guests.config(ref);
  await guests.configure(ref, { set: { memory: 128, description: 'a pod: ä' }, digest });
  await guests.configure(ref, { remove: ['description'] });
  await guests.config(ref, { current: true });
  await guests.pending(ref);
  await guests.status(ref);
  await tasks.follow(await guests.resize(ref, kind === 'lxc' ? 'rootfs' : 'scsi0', '+1G'));
  if (release !== '8.4' || kind === 'qemu') await guests.migratePreconditions(ref, 'pve2');
  await firewall.clusterOptions();
  await firewall.groups();
  await firewall.options(ref);
  await firewall.configure(ref, { enable: true, policy_in: 'DROP' }, ['dhcp']);
  await firewall.addRule(ref, { type: 'in', action: 'ACCEPT', proto: 'tcp', dport: '80', enable: 1 });
  await firewall.rules(ref);
  await firewall.aliases(ref);
  await firewall.ipsets(ref);
  await firewall.deleteRule(ref, 0);
  await ha.get(ref);
  const started = await guests.start(ref);
  await tasks.follow(started);
  await guests.status(ref);
  await tasks.follow(await guests.shutdown(ref, { timeout: 5, forceStop: true }));
  await tasks.follow(await guests.start(ref));
  await tasks.follow(await guests.stop(ref, { overruleShutdown: true }));
  await tasks.status(started);
  await tasks.lastLines(started, 5);
  await tasks.stop(started);
  await tasks.follow(await guests.clone(ref, { newid: vmid + 1, name: 'copy', full: true }));
  await tasks.follow(await snapshots.create(ref, { name: 'one', description: 'before', vmstate: false }));
  await snapshots.list(ref);
  await tasks.follow(await snapshots.rollback(ref, 'one', { start: false }));
  await tasks.follow(await snapshots.delete(ref, 'one', { force: true }));
  await ha.delete(ref).catch(() => undefined);
  await guests.delete({ ...ref, vmid: vmid + 1 }, { purge: true }).then((upid) => tasks.follow(upid));
  await tasks.follow(await guests.delete(ref, { force: true, purge: true, destroyUnreferencedDisks: true }));
}

async function everythingElse(client: ProxmoxClient): Promise<void> {
  const { access, backupJobs, cluster, ha, networks, nodes, pools, storages, tasks } = client;
  await Promise.all([
    access.permissions(),
    access.permissions('/vms'),
    access.roles(),
    backupJobs.list(),
    cluster.version(),
    cluster.hasQDevice(),
    cluster.status(),
    cluster.resources(),
    cluster.resources('vm'),
    cluster.nextId(),
    cluster.isFree(5000),
    ha.list(),
    networks.interfaces('pve1'),
    networks.interfaces('pve1', 'any_bridge'),
    networks.vnets(),
    networks.zones(),
    nodes.list(),
    nodes.status('pve1'),
    nodes.version('pve1'),
    storages.list('pve1', { content: 'rootdir', enabled: true }),
    storages.status('pve1', 'local'),
    storages.configs(),
    storages.content('pve1', 'local', { content: 'vztmpl' }),
    tasks.list('pve1', { limit: 5, source: 'all', typefilter: 'vzcreate' }),
  ]);
  await pools.create('k8s', 'pods');
  await pools.list();
  await pools.members('k8s');
  await pools.update('k8s', { vmids: [], allowMove: true }).catch(() => undefined);
  await pools.delete('k8s');
  const volume = await storages.allocate('pve1', 'local', { vmid: 300, filename: 'vm-300-disk-0.raw', size: '4M' });
  await storages.delete('pve1', 'local', volume);
}

for (const release of ['8.4', '9.2'] as const)
  (schemas === undefined ? test.skip : test)(`all calls of the client fit ${release}`, async (t) => {
    await using simulated = await recordedCluster(release);
    const { cluster, recorder, fingerprint } = simulated;
    const real = await connectProxmox({
      hosts: [recorder.host],
      trust: { fingerprints: [fingerprint] },
      credentials: { kind: 'token', secret: new Secret(cluster.token('root@pam', 'test').replace('PVEAPIToken=', '')) },
    });
    t.teardown(() => real.close());
    const { client, uncalled } = watched(real);
    await guestLife(client, 'lxc', 200, release);
    await guestLife(client, 'qemu', 210, release);
    await everythingElse(client);
    t.deepEqual(uncalled(), [], 'methods of the client that were not called');
    const schema = new ApiSchema(join(schemas!, `pve-${release}.json`));
    t.deepEqual(summarize(unlisted(checkExchanges(schema, recorder.exchanges))), []);
  });
