import test from 'ava';
import { StatusCode } from '../../../../src/core/model/errors.ts';
import { isKind } from '../../../../src/integrations/proxmox-api/errors/proxmox-error.ts';
import {
  featuresOf,
  hasFeature,
  parseVersion,
  requireFeature,
} from '../../../../src/integrations/proxmox-api/version.ts';
import { type Certificates, makeCertificates } from './certificates.ts';
import { clientOf, type Reply, servePve } from './scripted-pve.ts';

const UPID = 'UPID:pve1:0000049B:00058DF8:6B036CD9:vzstart:101:cri@pve!k8s:';
const ct = { kind: 'lxc', node: 'pve1', vmid: 101 } as const;
const vm = { kind: 'qemu', node: 'pve1', vmid: 102 } as const;

let certificates: Certificates;
let dispose: () => Promise<void>;
test.before(async () => {
  ({ dispose, ...certificates } = await makeCertificates());
});
test.after.always(() => dispose());

/** A server with one answer for each `METHOD /path`; everything else is not implemented. */
const served =
  (answers: Record<string, unknown>) =>
  (seen: { method: string; path: string }): Reply => {
    const key = `${seen.method} ${seen.path}`;
    return key in answers ? { data: answers[key] } : { status: 501, message: `Method '${key}' not implemented` };
  };

test('numbers, booleans and nulls in any spelling', async (t) => {
  const pve = await servePve(
    t,
    certificates,
    served({
      'GET /nodes/pve1/lxc/101/status/current': {
        vmid: '101',
        status: 'running',
        name: 123,
        uptime: '8',
        cpu: '0.03',
        mem: 4194304,
        template: '',
        lock: null,
        tags: 'a;b',
        ha: { managed: 0 },
        pressurecpusome: '0.00',
      },
      'GET /cluster/nextid': '100',
      'GET /cluster/status': [
        { type: 'cluster', name: 'c', id: 'cluster', nodes: 2, quorate: 1, version: 2 },
        { type: 'node', name: 'pve1', id: 'node/pve1', online: '1', local: 1, nodeid: 1, ip: '10.0.0.1', level: '' },
      ],
    }),
  );
  const client = await clientOf(t, certificates, [pve]);
  t.like(await client.guests.status(ct), {
    vmid: 101,
    name: '123',
    uptime: 8,
    cpu: 0.03,
    template: false,
    lock: undefined,
    tags: ['a', 'b'],
    ha: { managed: false },
    pid: undefined,
  });
  t.is(await client.cluster.nextId(), 100);
  t.like((await client.cluster.status())[0], { quorate: true, nodes: 2 });
  t.like((await client.cluster.status())[1], { online: true, local: true });
});

test('configurations of both kinds', async (t) => {
  const pve = await servePve(
    t,
    certificates,
    served({
      'GET /nodes/pve1/lxc/101/config': {
        hostname: 'web-1',
        memory: 64,
        cpulimit: '1',
        unprivileged: 1,
        tags: 'a;b',
        description: 'ours\n',
        net0: 'name=eth0,bridge=vmbr0',
        digest: 'fdd4',
        lxc: [['lxc.include', '/x']],
      },
      'GET /nodes/pve1/qemu/102/config': {
        name: 'vm',
        memory: '2048',
        cores: 2,
        lock: 'backup',
        template: 1,
        digest: 'a',
      },
      'GET /nodes/pve1/lxc/101/pending': [
        { key: 'memory', value: 64, pending: '128' },
        { key: 'arch', value: 'amd64', delete: 1 },
      ],
    }),
  );
  const client = await clientOf(t, certificates, [pve]);
  t.deepEqual(await client.guests.config(ct, { current: true }), {
    digest: 'fdd4',
    name: 'web-1',
    memory: 64,
    cores: undefined,
    description: 'ours',
    tags: ['a', 'b'],
    lock: undefined,
    isTemplate: false,
    isProtected: false,
    isUnprivileged: true,
    startsAtBoot: false,
    values: {
      hostname: 'web-1',
      memory: '64',
      cpulimit: '1',
      unprivileged: '1',
      tags: 'a;b',
      description: 'ours\n',
      net0: 'name=eth0,bridge=vmbr0',
    },
    raw: [['lxc.include', '/x']],
  });
  t.deepEqual(pve.seen[0]?.query, { current: '1' });
  t.like(await client.guests.config(vm), {
    name: 'vm',
    memory: 2048,
    cores: 2,
    lock: 'backup',
    isTemplate: true,
    raw: [],
  });
  t.deepEqual(await client.guests.pending(ct), [
    { key: 'memory', value: '64', pending: '128', delete: false },
    { key: 'arch', value: 'amd64', delete: true },
  ]);
});

test('what changes guests: path, parameters, task', async (t) => {
  const pve = await servePve(t, certificates, ({ method }) => ({ data: method === 'PUT' ? null : UPID }));
  const client = await clientOf(t, certificates, [pve]);
  const { guests, snapshots } = client;
  t.is((await guests.create(ct, { ostemplate: 'local:vztmpl/a.tar.gz', unprivileged: true, start: false })).text, UPID);
  await guests.clone(ct, { newid: 200, name: 'b', full: true });
  await guests.clone(vm, { newid: 201, name: 'c' });
  await guests.configure(ct, { set: { memory: 64 }, remove: ['cores', 'net1'], digest: 'abc' });
  await guests.stop(ct, { overruleShutdown: true });
  await guests.delete(vm, { force: true, purge: true });
  await snapshots.create(vm, { name: 's1', vmstate: true });
  await snapshots.create(ct, { name: 's1', vmstate: true });
  await snapshots.rollback(ct, 's1', { start: true });
  await snapshots.delete(ct, 's1');
  t.deepEqual(
    pve.seen.map(({ method, path, body, query }) => [method, path, method === 'DELETE' ? query : body]),
    [
      ['POST', '/nodes/pve1/lxc', { ostemplate: 'local:vztmpl/a.tar.gz', unprivileged: 1, start: 0, vmid: 101 }],
      ['POST', '/nodes/pve1/lxc/101/clone', { newid: 200, full: 1, hostname: 'b' }],
      ['POST', '/nodes/pve1/qemu/102/clone', { newid: 201, name: 'c' }],
      ['PUT', '/nodes/pve1/lxc/101/config', { memory: 64, delete: 'cores,net1', digest: 'abc' }],
      ['POST', '/nodes/pve1/lxc/101/status/stop', { 'overrule-shutdown': 1 }],
      ['DELETE', '/nodes/pve1/qemu/102', { purge: '1' }],
      ['POST', '/nodes/pve1/qemu/102/snapshot', { snapname: 's1', vmstate: 1 }],
      ['POST', '/nodes/pve1/lxc/101/snapshot', { snapname: 's1' }],
      ['POST', '/nodes/pve1/lxc/101/snapshot/s1/rollback', { start: 1 }],
      ['DELETE', '/nodes/pve1/lxc/101/snapshot/s1', {}],
    ],
  );
});

test('resize returns a task', async (t) => {
  const pve = await servePve(t, certificates, served({ 'PUT /nodes/pve1/lxc/101/resize': UPID }));
  const client = await clientOf(t, certificates, [pve]);
  t.is((await client.guests.resize(ct, 'rootfs', '+1G')).type, 'vzstart');
  t.deepEqual(pve.seen[0]?.body, { disk: 'rootfs', size: '+1G' });
});

test('snapshots are listed without the current state', async (t) => {
  const data = [
    { name: 's1', snaptime: '5', parent: null },
    { name: 'current', digest: 'x', running: 1 },
  ];
  const pve = await servePve(t, certificates, () => ({ data }));
  const client = await clientOf(t, certificates, [pve]);
  const [one, ...others] = await client.snapshots.list(ct);
  t.like(one, { name: 's1', snaptime: 5, parent: undefined });
  t.deepEqual(others, []);
});

test('preconditions of a migration, in both spellings', async (t) => {
  const pve = await servePve(
    t,
    certificates,
    served({
      'GET /nodes/pve1/version': { version: '9.0.3', release: '9.0', repoid: 'x' },
      'GET /nodes/pve1/lxc/101/migrate': { running: 1, 'allowed-nodes': ['pve2'], 'not-allowed-nodes': { pve3: {} } },
      'GET /nodes/pve1/qemu/102/migrate': {
        running: 0,
        allowed_nodes: ['pve2'],
        local_disks: [{ volid: 'tank:vm-102-disk-0', cdrom: 0 }],
        local_resources: ['usb0'],
      },
    }),
  );
  const client = await clientOf(t, certificates, [pve]);
  const lxc = await client.guests.migratePreconditions(ct, 'pve2');
  t.like(lxc, { isRunning: true, allowedNodes: ['pve2'], refusedNodes: { pve3: {} }, localDisks: [] });
  t.like(await client.guests.migratePreconditions(vm), {
    isRunning: false,
    localDisks: ['tank:vm-102-disk-0'],
    localResources: ['usb0'],
  });
});

test('an older node refuses what it lacks, before the call', async (t) => {
  const pve = await servePve(
    t,
    certificates,
    served({ 'GET /nodes/pve1/version': { version: '8.4.14', release: '8.4' } }),
  );
  const client = await clientOf(t, certificates, [pve]);
  const refused = { code: StatusCode.UNIMPLEMENTED } as const;
  await t.throwsAsync(client.guests.migratePreconditions(ct), {
    ...refused,
    message: /needs Proxmox VE 9\.0; .*8\.4\.14/,
  });
  await t.throwsAsync(client.guests.create(ct, { ostemplate: 'x', entrypoint: '/bin/sh' }), {
    ...refused,
    message: /entrypoint/,
  });
  await t.throwsAsync(client.guests.configure(ct, { set: { net0: 'name=eth0,host-managed=1' } }), refused);
  // The version is asked for once.
  t.deepEqual(
    pve.seen.map(({ path }) => path),
    ['/nodes/pve1/version'],
  );
});

test('version gates', (t) => {
  const [old, middle, new92] = ['8.4.14', '9.1.1', '9.2.11'].map(parseVersion) as [never, never, never];
  t.deepEqual(
    [old, middle, new92].map((version) => hasFeature(version, 'vmMonitorPrivilege')),
    [true, false, false],
  );
  t.deepEqual(
    [old, middle, new92].map((version) => hasFeature(version, 'storageIdentity')),
    [false, false, true],
  );
  t.true(hasFeature(parseVersion('10.0'), 'ociImages'));
  t.throws(() => requireFeature(old, 'ociImages', 'an image'), { message: /^an image needs Proxmox VE 9\.1/ });
  t.throws(() => parseVersion('nine'), { code: StatusCode.INTERNAL });
  t.deepEqual([...featuresOf({ env: 'A=1', hostname: 'a', entrypoint: undefined })], [['entrypoint', 'env']]);
});

test('storages and volumes', async (t) => {
  const volume = 'local:vztmpl/a.tar.gz';
  const pve = await servePve(
    t,
    certificates,
    served({
      'GET /nodes/pve1/storage': [{ storage: 'local', type: 'dir', content: 'rootdir,vztmpl', active: 1, avail: '12' }],
      'GET /nodes/pve1/storage/local/status': {
        type: 'dir',
        content: 'rootdir',
        total: 5,
        used: 1,
        avail: 4,
        active: 1,
      },
      'GET /storage': [
        { storage: 'tank', type: 'zfspool', content: 'images,rootdir', pool: 'tank/ct', sparse: 1, digest: 'x' },
      ],
      'GET /nodes/pve1/storage/local/content': [{ volid: volume, content: 'vztmpl', format: 'tgz', size: 7, ctime: 1 }],
      'POST /nodes/pve1/storage/local/content': 'local:101/vm-101-disk-0.raw',
      [`DELETE /nodes/pve1/storage/local/content/${volume}`]: null,
      'DELETE /nodes/pve1/storage/local/content/b': UPID,
    }),
  );
  const { storages } = await clientOf(t, certificates, [pve]);
  t.like((await storages.list('pve1'))[0], {
    storage: 'local',
    content: ['rootdir', 'vztmpl'],
    active: true,
    avail: 12,
  });
  t.like(await storages.status('pve1', 'local'), { avail: 4 });
  t.like((await storages.configs())[0], { pool: 'tank/ct', content: ['images', 'rootdir'] });
  t.like((await storages.content('pve1', 'local', { content: 'vztmpl', vmid: 101 }))[0], { volid: volume, size: 7 });
  t.deepEqual(pve.seen.at(-1)?.query, { content: 'vztmpl', vmid: '101' });
  const disk = { vmid: 101, filename: 'vm-101-disk-0.raw', size: '1G', format: 'raw' } as const;
  t.is(await storages.allocate('pve1', 'local', disk), 'local:101/vm-101-disk-0.raw');
  t.is(await storages.delete('pve1', 'local', volume), undefined);
  t.is((await storages.delete('pve1', 'local', 'b'))?.text, UPID);
});

test('pools, networks, firewall, access, backup, HA', async (t) => {
  const rules = '/nodes/pve1/lxc/101/firewall/rules';
  const pve = await servePve(
    t,
    certificates,
    served({
      'GET /pools': [
        { poolid: 'k8s', comment: 'c', members: [{ id: 'lxc/101', type: 'lxc', vmid: '101', node: 'pve1' }] },
      ],
      'PUT /pools': null,
      'DELETE /pools': null,
      'GET /nodes/pve1/network': [
        { iface: 'vmbr0', type: 'bridge', active: 1, bridge_vlan_aware: '1', families: ['inet'] },
      ],
      'GET /cluster/sdn/vnets': [{ vnet: 'v1', zone: 'z', tag: '7', type: 'vnet' }],
      'GET /cluster/sdn/zones': [{ zone: 'z', type: 'vlan', bridge: 'vmbr0' }],
      'GET /nodes/pve1/lxc/101/firewall/options': { enable: '1', policy_in: 'DROP', digest: 'x' },
      'PUT /nodes/pve1/lxc/101/firewall/options': null,
      [`GET ${rules}`]: [{ pos: 0, type: 'in', action: 'ACCEPT', enable: 1 }],
      [`POST ${rules}`]: null,
      'GET /nodes/pve1/lxc/101/firewall/aliases': [{ name: 'web', cidr: '10.0.0.1', digest: 'x' }],
      'GET /nodes/pve1/lxc/101/firewall/ipset': [{ name: 'pods', comment: 'all', digest: 'x' }],
      [`DELETE ${rules}/0`]: null,
      'GET /access/permissions': { '/vms': { 'VM.Audit': 1, 'Pool.Audit': '0' } },
      'GET /cluster/backup': [{ id: 'backup-1', all: 1, enabled: '0', exclude: '100,101', schedule: '02:00' }],
      'GET /cluster/ha/resources': [{ sid: 'ct:101', state: 'started', type: 'ct', digest: 'x' }],
      'GET /cluster/ha/resources/ct:101': { sid: 'ct:101', state: 'started', type: 'ct', digest: 'x' },
      'DELETE /cluster/ha/resources/ct:101': null,
      'GET /nodes': [{ node: 'pve1', status: 'online', ssl_fingerprint: 'AA:BB', cpu: 0.1, maxcpu: 4 }],
      'GET /version': { version: '9.2.11', release: '9.2', repoid: 'x' },
      'GET /cluster/resources': [
        { id: 'lxc/101', type: 'lxc', vmid: 101, node: 'pve1', status: 'unknown', tags: 'a;b' },
      ],
      'GET /nodes/pve1/lxc': [],
      'GET /nodes/pve1/status': {
        uptime: 5,
        cpu: 0,
        loadavg: ['1.97', '3.01', '3.78'],
        cpuinfo: { cpus: 2, model: 'x' },
        memory: { total: 3, used: 1, free: 2 },
        rootfs: { total: 3, used: 1, free: 2, avail: 1 },
        pveversion: 'pve-manager/9.2.11/x',
      },
    }),
  );
  const client = await clientOf(t, certificates, [pve]);
  t.like((await client.pools.list())[0], { poolid: 'k8s' });
  t.like((await client.pools.members('k8s'))[0], { vmid: 101 });
  await client.pools.update('k8s', { vmids: [101, 102], allowMove: true });
  t.deepEqual(pve.seen.at(-1)?.body, { poolid: 'k8s', vms: '101,102', 'allow-move': 1 });
  await client.pools.delete('k8s');
  t.like((await client.networks.interfaces('pve1', 'any_bridge'))[0], { iface: 'vmbr0', bridge_vlan_aware: true });
  t.like((await client.networks.vnets())[0], { vnet: 'v1', tag: 7 });
  t.like((await client.networks.zones())[0], { zone: 'z' });
  t.like(await client.firewall.options(ct), { enable: true, policy_in: 'DROP', dhcp: undefined });
  await client.firewall.configure(ct, { enable: true }, ['policy_in']);
  t.deepEqual(pve.seen.at(-1)?.body, { enable: 1, delete: 'policy_in' });
  t.like((await client.firewall.rules(ct))[0], { pos: 0, enable: true });
  t.like(await client.firewall.aliases(ct), [{ name: 'web' }]);
  t.like(await client.firewall.ipsets(ct), [{ name: 'pods', comment: 'all' }]);
  await client.firewall.addRule(ct, { type: 'in', action: 'DROP', proto: 'tcp' });
  await client.firewall.deleteRule(ct, 0);
  t.deepEqual(await client.access.permissions('/vms'), { '/vms': { 'VM.Audit': true, 'Pool.Audit': false } });
  t.like((await client.backupJobs.list())[0], { all: true, enabled: false, exclude: ['100', '101'], vmid: [] });
  t.like((await client.ha.list())[0], { sid: 'ct:101' });
  t.like(await client.ha.get(ct), { state: 'started' });
  await client.ha.delete(ct);
  t.like((await client.nodes.list())[0], { node: 'pve1', ssl_fingerprint: 'AA:BB' });
  t.like(await client.nodes.status('pve1'), { loadavg: [1.97, 3.01, 3.78] });
  t.like(await client.cluster.version(), { major: 9, minor: 2, text: '9.2.11' });
  t.like((await client.cluster.resources('vm'))[0], { vmid: 101, tags: ['a', 'b'] });
  t.deepEqual(await client.guests.list('lxc', 'pve1'), []);
});

test('an id is free, or not', async (t) => {
  let reply: Reply = { data: '101' };
  const pve = await servePve(t, certificates, () => reply);
  const client = await clientOf(t, certificates, [pve]);
  t.true(await client.cluster.isFree(101));
  reply = { status: 400, message: 'Parameter verification failed.', errors: { vmid: 'VM 101 already exists' } };
  t.false(await client.cluster.isFree(101));
  reply = { status: 500, message: "no such resource 'vm:102'" };
  t.is(await client.ha.get(vm), undefined);
  reply = { status: 403, message: 'Permission check failed (/, Sys.Audit)' };
  t.true(isKind(await t.throwsAsync(client.cluster.isFree(101)), 'forbidden'));
  await t.throwsAsync(client.ha.get(vm), { code: StatusCode.PERMISSION_DENIED });
});
