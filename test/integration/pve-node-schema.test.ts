import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { methods } from '../pve/api/methods.ts';
import { has } from '../pve/api/method.ts';
import { startCluster, type SimulatedCluster } from '../pve/cluster.ts';
import { makeCertificate } from '../pve/http/certificate.ts';
import { ask } from '../pve/http/ask.ts';
import { ApiSchema } from '../pve/schema/api-schema.ts';
import { unlisted } from '../pve/schema/deviations.ts';
import { checkExchanges, type Exchange, summarize } from '../pve/schema/exchanges.ts';

const schemas = join(import.meta.dirname, '../../../shared/data/pve-api');
const there = existsSync(schemas);
if (!there) console.log('# skipped: no schema of the API beside the checkout (../shared/data/pve-api)');

/** What every path parameter stands for here; a container is 100, a machine 200. */
const places: Record<string, string> = {
  node: 'pve1',
  snapname: 's1',
  storage: 'local',
  volume: 'local:vztmpl/a.tar.gz',
  userid: 'k8s@pve',
  tokenid: 'node',
  roleid: 'Mine',
  poolid: 'k8s',
  iface: 'vmbr0',
  id: 'nightly',
  sid: 'ct:100',
  vnet: 'pods',
  zone: 'zone1',
  pos: '0',
};

const queries: Record<string, string> = { rrddata: '?timeframe=hour', feature: '?feature=snapshot' };

type Write = [verb: string, path: string, body?: Record<string, unknown>];

/** Writes that leave something to read of everything. */
const writes: Write[] = [
  ['POST', '/storage', { storage: 'btr', type: 'btrfs', path: '/var/lib/btr', content: 'rootdir,images' }],
  [
    'POST',
    '/nodes/pve1/lxc',
    {
      vmid: 100,
      ostemplate: 'local:vztmpl/a.tar.gz',
      rootfs: 'btr:0',
      net0: 'name=eth0,bridge=vmbr0,ip=10.0.0.2/24',
      tags: 'a;b',
      memory: 64,
      unprivileged: 1,
      description: 'x',
      start: 1,
    },
  ],
  [
    'POST',
    '/nodes/pve1/qemu',
    { vmid: 200, scsi0: 'local:1', memory: '128', net0: 'virtio,bridge=vmbr0', cores: 1, ide2: 'none,media=cdrom' },
  ],
  ['POST', '/nodes/pve1/qemu/200/status/start', {}],
  ['PUT', '/nodes/pve1/lxc/100/config', { memory: 128, tty: 3 }],
  ['PUT', '/nodes/pve1/lxc/100/config', { memory: 1, bogus: 1, cmode: 'x', hostname: 'a_b', mp0: 'a,b' }],
  ['PUT', '/nodes/pve1/qemu/200/config', { cores: 2, onboot: true }],
  ['POST', '/nodes/pve1/qemu/200/config', { name: 'vm' }],
  ['POST', '/nodes/pve1/lxc/100/snapshot', { snapname: 's1', description: 'first' }],
  ['PUT', '/nodes/pve1/lxc/100/snapshot/s1/config', { description: 'changed' }],
  ['POST', '/nodes/pve1/lxc/100/snapshot', { snapname: '1bad' }],
  ['POST', '/nodes/pve1/lxc/100/clone', { newid: 101, full: 1, snapname: 's1' }],
  ['PUT', '/nodes/pve1/lxc/100/resize', { disk: 'zz', size: 'abc' }],
  ['PUT', '/nodes/pve1/qemu/200/resize', { disk: 'scsi0', size: '+1G' }],
  ['POST', '/pools', { poolid: 'k8s', comment: 'pods' }],
  ['PUT', '/pools', { poolid: 'k8s', vms: '100,200', storage: 'local' }],
  ['POST', '/access/users', { userid: 'k8s@pve', comment: 'pods' }],
  ['POST', '/access/users/k8s@pve/token/node', { privsep: 1, comment: 'c' }],
  ['PUT', '/access/users/k8s@pve/token/node', { expire: 0 }],
  ['POST', '/access/roles', { roleid: 'Mine', privs: 'VM.Audit VM.PowerMgmt' }],
  ['PUT', '/access/acl', { path: '/vms/100', users: 'k8s@pve', roles: 'Mine' }],
  ['PUT', '/access/acl', { path: '/vms/100', tokens: 'k8s@pve!node', roles: 'PVEAuditor', propagate: 0 }],
  ['POST', '/cluster/ha/resources', { sid: 'ct:100', state: 'started', comment: 'x' }],
  ['POST', '/cluster/backup', { id: 'nightly', schedule: 'mon 02:00', storage: 'local', all: 1, exclude: '100' }],
  ['POST', '/cluster/sdn/zones', { zone: 'zone1', type: 'simple' }],
  ['POST', '/cluster/sdn/vnets', { vnet: 'pods', zone: 'zone1' }],
  ['PUT', '/cluster/options', { 'next-id': 'lower=1000,upper=2000' }],
  ['PUT', '/nodes/pve1/lxc/100/firewall/options', { enable: 1, policy_in: 'DROP' }],
  [
    'POST',
    '/nodes/pve1/lxc/100/firewall/rules',
    { type: 'in', action: 'ACCEPT', proto: 'tcp', dport: '22', enable: 1 },
  ],
  ['POST', '/nodes/pve1/qemu/200/firewall/rules', { type: 'in', action: 'ACCEPT' }],
  ['POST', '/nodes/pve1/storage/local/content', { filename: 'vm-300-disk-0.raw', vmid: 300, size: '1M' }],
];

/** Reads of what a fresh node does not have: statistics, backups, the snapshot, an agent in the guest. */
const refused = /rrddata|prunebackups|qemu\/200\/(?:snapshot\/s1|agent\/)/;

function pathOf(template: string, upid: string): string {
  const vmid = template.includes('/qemu/') ? '200' : '100';
  const values: Record<string, string> = { ...places, vmid, upid };
  const path = template.replace(/\{([^}]+)\}/g, (_all, name: string) => values[name]!);
  return `${path}${queries[path.split('/').pop()!] ?? ''}`;
}

async function record(cluster: SimulatedCluster, [verb, path, body]: Write): Promise<Exchange> {
  const { status, data, errors } = await ask(cluster, verb, path, body === undefined ? {} : { body });
  if (typeof data === 'string' && data.startsWith('UPID:')) await cluster.state.tasks.ended(data);
  return {
    source: `${verb} ${path}`,
    method: verb,
    path,
    parameters: body ?? {},
    status,
    ...(status === 200 ? { data } : {}),
    ...(errors === undefined ? {} : { errors }),
  };
}

for (const release of ['8.4', '9.2'] as const) {
  (there ? test : test.skip)(`answers of ${release} fit the schema`, async (t) => {
    const certificate = await makeCertificate('pve1');
    await using cluster = await startCluster({ release, certificate, nodes: ['pve1', 'pve2'] });
    await writeFile(cluster.state.volumes.target('local', 'vztmpl', 'a.tar.gz'), 'archive');
    const exchanges: Exchange[] = [];
    for (const write of writes) exchanges.push(await record(cluster, write));
    const upid = cluster.state.tasks.all()[0]!.upid;
    const reads = methods.filter((method) => method.verb === 'GET' && has(method, release));
    for (const { path } of reads) exchanges.push(await record(cluster, ['GET', pathOf(path, upid)]));
    const schema = new ApiSchema(join(schemas, `pve-${release}.json`));
    t.deepEqual(summarize(unlisted(checkExchanges(schema, exchanges))), []);
    const failed = exchanges.filter(({ status, source }) => status === 500 && !refused.test(source));
    t.deepEqual(
      failed.map(({ source }) => source),
      [],
    );
    t.log(`${exchanges.length} exchanges, ${reads.length} of them reads of every kind`);
  });
}
