import test, { type ExecutionContext } from 'ava';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { StatusCode } from '../../../../src/core/model/errors.ts';
import { Secret } from '../../../../src/integrations/proxmox-api/auth/secret.ts';
import { connectProxmox, type ProxmoxClientOptions } from '../../../../src/integrations/proxmox-api/client.ts';
import { AmbiguousOutcomeError, isKind } from '../../../../src/integrations/proxmox-api/errors/proxmox-error.ts';
import type { GuestConfig } from '../../../../src/integrations/proxmox-api/guests/answers.ts';
import { TaskFailedError } from '../../../../src/integrations/proxmox-api/tasks/follow.ts';
import { directoryOf } from '../../../../src/integrations/proxmox-api/storage-directory.ts';
import { type ClusterOptions, type SimulatedCluster, startCluster } from '../../../pve/cluster.ts';
import { type Certificate, makeCertificate } from '../../../pve/http/certificate.ts';
import { pveum } from '../../../pve/program/pveum.ts';

const ct = { kind: 'lxc', node: 'pve1', vmid: 101 } as const;
const settings = {
  ostemplate: 'local:vztmpl/a.tar.gz',
  rootfs: 'local:0',
  unprivileged: true,
  memory: 64,
  tags: 'ours',
};
const quick = { firstMs: 1, longestMs: 10 };
const isOurs = ({ tags }: GuestConfig) => tags.includes('ours');

let certificate: Certificate;
test.before(async () => {
  certificate = await makeCertificate('pve1');
});

async function start(t: ExecutionContext, options: ClusterOptions = {}, own: Partial<ProxmoxClientOptions> = {}) {
  const cluster = await startCluster({ certificate, ...options });
  t.teardown(() => cluster.close());
  await writeFile(cluster.state.volumes.target('local', 'vztmpl', 'a.tar.gz'), 'archive');
  const secret = new Secret(cluster.token('root@pam', 'k8s').replace('PVEAPIToken=', ''));
  const client = await connect(t, cluster, { credentials: { kind: 'token', secret }, ...own });
  return { cluster, client, faults: cluster.state.faults };
}

async function connect(
  t: ExecutionContext,
  cluster: SimulatedCluster,
  options: Pick<ProxmoxClientOptions, 'credentials'> & Partial<ProxmoxClientOptions>,
) {
  const client = await connectProxmox({
    hosts: cluster.nodes.map(({ url }) => new URL(url).host),
    trust: { fingerprints: cluster.nodes.map(({ fingerprint }) => fingerprint) },
    pauseMs: 1,
    ...options,
  });
  t.teardown(() => client.close());
  return client;
}

for (const release of ['8.4', '9.2'] as const) {
  test(`a container from create to delete on ${release}`, async (t) => {
    const { client } = await start(t, { release });
    const { guests, tasks, snapshots } = client;
    t.true((await client.cluster.version()).text.startsWith(release));
    t.true(await client.cluster.isFree(101));
    await tasks.follow(await guests.create(ct, settings), quick);
    t.false(await client.cluster.isFree(101));
    t.like(await guests.config(ct), { memory: 64, tags: ['ours'], isUnprivileged: true });
    await guests.configure(ct, { set: { memory: 128, hostname: 'web-1' } });
    t.like(await guests.config(ct), { memory: 128, name: 'web-1' });
    await tasks.follow(await guests.start(ct), quick);
    t.is((await guests.status(ct)).status, 'running');
    t.like((await guests.list('lxc', 'pve1'))[0], { vmid: 101, status: 'running' });
    await t.throwsAsync(guests.start(ct), { code: StatusCode.FAILED_PRECONDITION, message: /already running/ });
    await tasks.follow(await guests.stop(ct), quick);
    t.true(isKind(await t.throwsAsync(guests.stop(ct)), 'notRunning'));
    t.deepEqual(await snapshots.list(ct), []);
    t.true((await client.storages.content('pve1', 'local', { vmid: 101 })).length > 0);
    await tasks.follow(await guests.delete(ct, { purge: true, destroyUnreferencedDisks: true }), quick);
    t.true(isKind(await t.throwsAsync(guests.config(ct)), 'notFound'));
    t.true((await tasks.list('pve1', { vmid: 101 })).data.length >= 4);
    const entrypoint = guests.create(ct, { ...settings, entrypoint: '/bin/sh' });
    if (release === '8.4') await t.throwsAsync(entrypoint, { code: StatusCode.UNIMPLEMENTED });
    else await tasks.follow(await entrypoint, quick);
  });

  test(`the directories of storages on ${release}`, async (t) => {
    const at = (type: 'dir' | 'nfs' | 'cifs', path: string, options = {}) => ({
      type,
      path,
      content: ['iso'],
      options,
    });
    const { cluster, client } = await start(t, {
      release,
      storages: {
        nas: at('nfs', '/mnt/pve/nas', { server: 'nas', export: '/srv' }),
        smb: at('cifs', '/mnt/pve/smb', { server: 'nas', share: 'smb' }),
        off: at('dir', '/srv/off', { disable: 1 }),
        other: at('dir', '/srv/other', { nodes: 'pve2' }),
        tank: { type: 'zfspool', pool: 'tank', content: ['rootdir'], options: {} },
      },
    });
    const directory = (storage: string, of = client) => directoryOf(of, { node: 'pve1', storage });
    t.deepEqual(await Promise.all(['local', 'nas', 'smb'].map((storage) => directory(storage))), [
      '/var/lib/vz',
      '/mnt/pve/nas',
      '/mnt/pve/smb',
    ]);
    await rm(join(cluster.state.directory, 'mnt/pve/nas'), { recursive: true });
    const fails = (storage: string, code: StatusCode, message: RegExp) =>
      t.throwsAsync(directory(storage), { code, message }, storage);
    await fails('nas', StatusCode.UNAVAILABLE, /storage nas .* is not active on pve1; .* pvesm status --storage nas$/);
    await fails('off', StatusCode.FAILED_PRECONDITION, /storage off .* is disabled, or not for node pve1/);
    await fails('other', StatusCode.FAILED_PRECONDITION, /storage other .* is disabled, or not for node pve1/);
    await fails(
      'tank',
      StatusCode.INVALID_ARGUMENT,
      /storage tank .* of type zfspool, .* one of type dir, nfs or cifs/,
    );
    await fails(
      'none',
      StatusCode.NOT_FOUND,
      /no storage none .*\(local, nas, .*\); grant Datastore.Audit on \/storage\/none/,
    );
    // What a token may see of the storages is enough, and needed.
    cluster.state.store.users['k8s@pve'] = { enable: 1, expire: 0 };
    const secret = new Secret(cluster.token('k8s@pve', 'node').replace('PVEAPIToken=', ''));
    const own = await connect(t, cluster, { credentials: { kind: 'token', secret } });
    await t.throwsAsync(directory('smb', own), { code: StatusCode.NOT_FOUND, message: /may see \(none\)/ });
    const commands = ["pveum role add Files --privs 'Datastore.Audit'"];
    pveum(cluster.state, [...commands, "pveum acl modify /storage/smb --users 'k8s@pve' --roles Files"]);
    t.is(await directory('smb', own), '/mnt/pve/smb');
  });

  test(`a virtual machine on ${release}`, async (t) => {
    const { client } = await start(t, { release });
    const vm = { kind: 'qemu', node: 'pve1', vmid: 102 } as const;
    await client.tasks.follow(await client.guests.create(vm, { name: 'a', memory: '512', scsi0: 'local:1' }), quick);
    t.like(await client.guests.config(vm), { name: 'a', memory: 512 });
    await client.tasks.follow(await client.guests.start(vm), quick);
    t.is((await client.guests.status(vm)).status, 'running');
    await client.tasks.follow(await client.guests.stop(vm), quick);
    await client.tasks.follow(await client.guests.delete(vm, { purge: true }), quick);
    t.true(await client.cluster.isFree(102));
  });
}

test('the node and the cluster are read', async (t) => {
  const { client, cluster } = await start(t, { nodes: ['pve1', 'pve2'] });
  const nodes = await client.nodes.list();
  t.deepEqual(nodes.map(({ node }) => node).sort(), ['pve1', 'pve2']);
  t.is(nodes.find(({ node }) => node === 'pve1')?.ssl_fingerprint, cluster.nodes[0]?.fingerprint);
  t.true((await client.nodes.status('pve1')).memory.total > 0);
  t.true((await client.cluster.status()).some(({ type, quorate }) => type === 'cluster' && quorate === true));
  t.true((await client.cluster.resources()).some(({ type }) => type === 'node'));
  t.true((await client.storages.list('pve2')).some(({ storage, active }) => storage === 'local' && active === true));
  t.true((await client.storages.configs()).some(({ storage }) => storage === 'local'));
  t.true('VM.Allocate' in ((await client.access.permissions('/vms'))['/vms'] ?? {}));
  t.true(Array.isArray(await client.networks.interfaces('pve1')));
  t.deepEqual(await client.networks.vnets(), []);
  t.deepEqual(await client.backupJobs.list(), []);
  t.deepEqual(await client.ha.list(), []);
  t.is(await client.ha.get(ct), undefined);
  await client.pools.create('k8s', 'pods');
  t.like((await client.pools.list())[0], { poolid: 'k8s' });
  await client.pools.delete('k8s');
});

test("a root@pam ticket made from the cluster's keys", async (t) => {
  const { client, cluster } = await start(t);
  const directory = cluster.state.directory;
  const root = await connectProxmox({
    hosts: cluster.nodes.map(({ url }) => new URL(url).host),
    trust: { ca: cluster.nodes[0]?.authority ?? '' },
    credentials: {
      kind: 'local-root',
      authKeyFile: join(directory, 'etc/pve/priv/authkey.key'),
      csrfKeyFile: join(directory, 'etc/pve/pve-www.key'),
    },
  });
  t.teardown(() => root.close());
  const bind = { ...settings, mp0: '/srv/x,mp=/x' };
  t.true(isKind(await t.throwsAsync(client.guests.create(ct, bind)), 'rootOnly'));
  await root.tasks.follow(await root.guests.create(ct, bind), quick);
  t.regex((await root.guests.config(ct)).values['mp0'] ?? '', /^\/srv\/x/);
});

for (const when of ['before', 'after'] as const) {
  for (const effect of [
    { kind: 'drop', when },
    { kind: 'status', when, status: 596, reason: 'Connection timed out' },
    { kind: 'status', when, status: 500, reason: 'something broke' },
  ] as const) {
    test(`${effect.kind === 'drop' ? 'dropped' : effect.status} ${when} the effect: no second guest`, async (t) => {
      const { client, faults } = await start(t);
      faults.add({ effect, match: { method: 'POST' } });
      await t.throwsAsync(client.guests.create(ct, settings), { instanceOf: AmbiguousOutcomeError });
      const verdict = await client.recheck.created(ct, isOurs, { settleMs: 50 });
      t.is(verdict, when === 'before' ? 'notDone' : 'done');
      faults.add({ effect, match: { method: 'PUT' } });
      if (verdict === 'notDone') await client.tasks.follow(await client.guests.create(ct, settings), quick);
      await t.throwsAsync(client.guests.configure(ct, { set: { memory: 99 } }), { instanceOf: AmbiguousOutcomeError });
      t.is(await client.recheck.configured(ct, ({ memory }) => memory === 99, { settleMs: 50 }), verdict);
      faults.add({ effect, match: { method: 'POST' } });
      await t.throwsAsync(client.guests.start(ct), { instanceOf: AmbiguousOutcomeError });
      t.is(await client.recheck.started(ct, { settleMs: 50 }), verdict);
      t.is((await client.guests.list('lxc', 'pve1')).length, 1);
    });
  }
}

test('faults of the node have their kinds', async (t) => {
  const { client, faults } = await start(t);
  await client.tasks.follow(await client.guests.create(ct, settings), quick);
  faults.add({ effect: { kind: 'lock-timeout' } });
  t.true(isKind(await t.throwsAsync(client.guests.configure(ct, { set: { memory: 65 } })), 'lockTimeout'));
  faults.add({ effect: { kind: 'no-quorum' } });
  t.true(isKind(await t.throwsAsync(client.guests.configure(ct, { set: { memory: 65 } })), 'noQuorum'));
  faults.add({ effect: { kind: 'full-storage' } });
  const full = async () =>
    client.tasks.follow(await client.guests.create({ ...ct, vmid: 102 }, { ...settings, rootfs: 'local:1' }), quick);
  t.true(isKind(await t.throwsAsync(full), 'full'));
  faults.add({ effect: { kind: 'task-fail', when: 'before', message: 'startup failed' }, match: { type: 'vzstart' } });
  const failed = await t.throwsAsync(async () => client.tasks.follow(await client.guests.start(ct), quick), {
    instanceOf: TaskFailedError,
  });
  t.is(failed?.exitStatus, 'startup failed');
});
