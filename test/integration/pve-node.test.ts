import { spawn } from 'node:child_process';
import { createHmac, createSign } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import test, { type ExecutionContext } from 'ava';
import type { GuestConfig, Section } from '../pve/config/config-text.ts';
import { lxc } from '../pve/config/kind.ts';
import { startCluster, type ClusterOptions, type SimulatedCluster } from '../pve/cluster.ts';
import { ApiOnlyRuntime } from '../pve/guests/runtime.ts';
import type { GuestRef } from '../pve/state/guest-files.ts';
import { makeCertificate, type Certificate } from '../pve/http/certificate.ts';
import { ask, finish } from '../pve/http/ask.ts';

let certificate: Certificate;

test.before(async () => {
  certificate = await makeCertificate('pve1');
});

async function start(t: ExecutionContext, options: ClusterOptions = {}): Promise<SimulatedCluster> {
  const cluster = await startCluster({ certificate, ...options });
  t.teardown(() => cluster.close());
  await writeFile(cluster.state.volumes.target('local', 'vztmpl', 'a.tar.gz'), 'archive');
  return cluster;
}

const container = (vmid: number): Record<string, unknown> => ({
  vmid,
  ostemplate: 'local:vztmpl/a.tar.gz',
  rootfs: 'local:0',
});

function exists(cluster: SimulatedCluster, vmid: number): boolean {
  return cluster.state.guests.find(vmid) !== undefined;
}

test('of two creates of one VMID one wins', async (t) => {
  const cluster = await start(t, { nodes: ['pve1', 'pve2'] });
  const answers = await Promise.all(
    ['pve1', 'pve2'].map((name, node) => ask(cluster, 'POST', `/nodes/${name}/lxc`, { body: container(100), node })),
  );
  t.deepEqual(answers.map(({ status }) => status).sort(), [200, 500]);
  t.regex(answers.find(({ status }) => status === 500)!.reason, /CT 100 already exists on node 'pve[12]'$/);
});

test('a node answers for the other nodes', async (t) => {
  const cluster = await start(t, { nodes: ['pve1', 'pve2'] });
  t.is(await finish(cluster, 'POST', '/nodes/pve2/lxc', { body: container(100) }), 'OK');
  t.is(cluster.state.guests.find(100)!.node, 'pve2');
  t.is((await ask(cluster, 'GET', '/cluster/nextid', { node: 1 })).data, '101');
  const move = { body: { target: 'pve1' }, node: 1 };
  t.is(await finish(cluster, 'POST', '/nodes/pve2/lxc/100/migrate', move), 'OK');
  t.is((await ask(cluster, 'GET', '/nodes/pve1/lxc/100/status/current', { node: 1 })).status, 200);
});

test('without a node there may be no quorum', async (t) => {
  const cluster = await start(t, { nodes: ['pve1', 'pve2'] });
  await cluster.setDown('pve2', true);
  await t.throwsAsync(ask(cluster, 'GET', '/version', { node: 1 }), { code: 'ECONNREFUSED' });
  t.is((await ask(cluster, 'GET', '/nodes/pve2/lxc')).status, 595);
  const refused = await ask(cluster, 'POST', '/nodes/pve1/lxc', { body: container(100) });
  t.is(refused.reason, 'cluster not ready - no quorum?');
  await cluster.setDown('pve2', false);
  t.is((await ask(cluster, 'GET', '/version', { node: 1 })).status, 200);
  t.is(await finish(cluster, 'POST', '/nodes/pve1/lxc', { body: container(100) }), 'OK');
});

test('faults before the effect leave nothing', async (t) => {
  const cluster = await start(t);
  const { faults } = cluster.state;
  faults.add({
    effect: { kind: 'status', when: 'before', status: 595, reason: 'No route to host' },
    match: { method: 'POST' },
  });
  const refused = await ask(cluster, 'POST', '/nodes/pve1/lxc', { body: container(100) });
  t.deepEqual([refused.status, refused.reason], [595, 'No route to host']);
  faults.add({ effect: { kind: 'drop', when: 'before' }, match: { path: '/lxc$' } });
  await t.throwsAsync(ask(cluster, 'POST', '/nodes/pve1/lxc', { body: container(100) }));
  t.false(exists(cluster, 100));
  t.is((await ask(cluster, 'POST', '/nodes/pve1/lxc', { body: container(100) })).status, 200);
});

test('faults after the effect leave it', async (t) => {
  const cluster = await start(t);
  const { faults } = cluster.state;
  faults.add({ effect: { kind: 'drop', when: 'after' }, match: { method: 'POST' } });
  await t.throwsAsync(ask(cluster, 'POST', '/nodes/pve1/lxc', { body: container(100) }));
  faults.add({ effect: { kind: 'status', when: 'after', status: 596, reason: 'Connection timed out' } });
  t.is((await ask(cluster, 'POST', '/nodes/pve1/lxc', { body: container(101) })).status, 596);
  t.deepEqual([exists(cluster, 100), exists(cluster, 101)], [true, true]);
});

test('tasks are held, fail, and leave no guest', async (t) => {
  const cluster = await start(t);
  const { faults, tasks } = cluster.state;
  faults.add({ effect: { kind: 'task-hold' }, match: { type: 'vzcreate' } });
  const { data } = await ask(cluster, 'POST', '/nodes/pve1/lxc', { body: container(100) });
  const path = `/nodes/pve1/tasks/${String(data)}/status`;
  t.like((await ask(cluster, 'GET', path)).data, { status: 'running', type: 'vzcreate', id: '100' });
  t.is(
    (await ask(cluster, 'PUT', '/nodes/pve1/lxc/100/config', { body: { memory: 64 } })).reason,
    'CT is locked (create)',
  );
  faults.release();
  await tasks.ended(String(data));
  t.like((await ask(cluster, 'GET', path)).data, { status: 'stopped', exitstatus: 'OK' });
  faults.add({
    effect: { kind: 'task-fail', when: 'before', message: 'broken disk' },
    match: { type: 'vzstart', vmid: 100 },
  });
  t.is(await finish(cluster, 'POST', '/nodes/pve1/lxc/100/status/start'), 'broken disk');
  faults.add({ effect: { kind: 'full-storage' }, match: { storage: 'local' } });
  const full = 'unable to create CT 101 - No space left on device';
  t.is(await finish(cluster, 'POST', '/nodes/pve1/lxc', { body: container(101) }), full);
  t.false(exists(cluster, 101));
});

test('locks time out, quorum and tickets get lost', async (t) => {
  const cluster = await start(t);
  const { faults } = cluster.state;
  await finish(cluster, 'POST', '/nodes/pve1/lxc', { body: container(100) });
  const change = { body: { memory: 64 } };
  faults.add({ effect: { kind: 'lock-timeout' }, match: { vmid: 100 } });
  t.is(
    (await ask(cluster, 'PUT', '/nodes/pve1/lxc/100/config', change)).reason,
    "can't lock file '/run/lock/lxc/pve-config-100.lock' - got timeout",
  );
  faults.add({ effect: { kind: 'no-quorum' } });
  t.is((await ask(cluster, 'PUT', '/nodes/pve1/lxc/100/config', change)).status, 500);
  faults.add({ effect: { kind: 'no-quorum' } });
  t.is(
    (await ask(cluster, 'POST', '/nodes/pve1/lxc', { body: container(101) })).reason,
    'cluster not ready - no quorum?',
  );
  faults.add({ effect: { kind: 'expired-ticket' } });
  t.is((await ask(cluster, 'GET', '/version')).status, 401);
  t.is((await ask(cluster, 'PUT', '/nodes/pve1/lxc/100/config', change)).status, 200);
});

test('a stop waits for a shutdown, or overrules it', async (t) => {
  const runtime = new ApiOnlyRuntime();
  // A fiftieth of a node's time: a lock is waited for 200 ms.
  const cluster = await start(t, { runtime, pace: 0.02 });
  await finish(cluster, 'POST', '/nodes/pve1/lxc', { body: { ...container(100), start: 1 } });
  runtime.ignoreShutdown(100, true);
  const { data } = await ask(cluster, 'POST', '/nodes/pve1/lxc/100/status/shutdown', { body: { timeout: 600 } });
  t.regex(await finish(cluster, 'POST', '/nodes/pve1/lxc/100/status/stop'), /^can't lock file .* - got timeout$/);
  const overruled = await finish(cluster, 'POST', '/nodes/pve1/lxc/100/status/stop', {
    body: { 'overrule-shutdown': 1 },
  });
  t.is(overruled, 'OK');
  t.is(cluster.state.tasks.get(String(data))!.exit, 'unexpected status');
});

test('another writer changes and deletes guests', async (t) => {
  const cluster = await start(t);
  await finish(cluster, 'POST', '/nodes/pve1/lxc', { body: container(100) });
  const ref = { node: 'pve1', kind: lxc, vmid: 100 };
  cluster.state.guests.write(ref, `${cluster.state.guests.read(ref)!}tags: theirs\n`);
  t.like((await ask(cluster, 'GET', '/nodes/pve1/lxc/100/config')).data, { tags: 'theirs' });
  cluster.state.guests.remove(ref);
  t.is(
    (await ask(cluster, 'GET', '/nodes/pve1/lxc/100/config')).reason,
    "Configuration file 'nodes/pve1/lxc/100.conf' does not exist",
  );
});

test('release 8.4 lacks what came later', async (t) => {
  const cluster = await start(t, { release: '8.4' });
  await finish(cluster, 'POST', '/nodes/pve1/lxc', { body: container(100) });
  const { errors } = await ask(cluster, 'PUT', '/nodes/pve1/lxc/100/config', {
    body: { entrypoint: '/bin/true', net0: 'name=eth0,host-managed=1' },
  });
  t.regex(errors!['entrypoint']!, /not defined in schema/);
  t.regex(errors!['net0']!, /net0\.host-managed: property is not defined/);
  t.is((await ask(cluster, 'GET', '/nodes/pve1/lxc/100/migrate')).status, 501);
  const roles = (await ask(cluster, 'GET', '/access/roles/Administrator')).data as Record<string, number>;
  t.deepEqual([roles['VM.Monitor'], roles['VM.GuestAgent.Audit']], [1, undefined]);
  t.like((await ask(cluster, 'GET', '/version')).data, { release: '8.4' });
});

test('a token may what it is granted and its user may', async (t) => {
  const cluster = await start(t);
  await finish(cluster, 'POST', '/nodes/pve1/lxc', { body: container(100) });
  await ask(cluster, 'POST', '/access/users', { body: { userid: 'k8s@pve' } });
  const headers = { authorization: cluster.token('k8s@pve', 'node', true) };
  const grant = (who: object): Promise<unknown> =>
    ask(cluster, 'PUT', '/access/acl', { body: { path: '/vms/100', roles: 'PVEVMUser', ...who } });
  await grant({ tokens: 'k8s@pve!node' });
  t.is(
    (await ask(cluster, 'GET', '/nodes/pve1/lxc/100/config', { headers })).reason,
    'Permission check failed (/vms/100, VM.Audit)',
  );
  await grant({ users: 'k8s@pve' });
  t.is((await ask(cluster, 'GET', '/nodes/pve1/lxc/100/config', { headers })).status, 200);
  t.is(
    (await ask(cluster, 'DELETE', '/nodes/pve1/lxc/100', { headers })).reason,
    'Permission check failed (/vms/100, VM.Allocate)',
  );
  await finish(cluster, 'POST', '/nodes/pve1/lxc/100/status/start', { headers });
  const { data: started } = await ask(cluster, 'GET', '/nodes/pve1/tasks?typefilter=vzstart');
  t.like(started, [{ user: 'k8s@pve', tokenid: 'node' }]);
  t.deepEqual((await ask(cluster, 'GET', '/cluster/tasks', { headers })).data, [], 'not even its own');
});

test('a virtual machine lives and ends', async (t) => {
  const cluster = await start(t);
  const create = { body: { vmid: 200, name: 'vm', memory: '256', scsi0: 'local:1', net0: 'virtio,bridge=vmbr0' } };
  t.is(await finish(cluster, 'POST', '/nodes/pve1/qemu', create), 'OK');
  t.is(await finish(cluster, 'POST', '/nodes/pve1/qemu/200/status/start'), 'OK');
  t.like((await ask(cluster, 'GET', '/nodes/pve1/qemu/200/status/current')).data, {
    status: 'running',
    maxmem: 268_435_456,
    maxdisk: 1_073_741_824,
  });
  t.is((await ask(cluster, 'DELETE', '/nodes/pve1/qemu/200')).reason, 'VM 200 is running - destroy failed');
  await ask(cluster, 'PUT', '/nodes/pve1/qemu/200/config', { body: { cores: 2 } });
  t.deepEqual(
    ((await ask(cluster, 'GET', '/nodes/pve1/qemu/200/pending')).data as { key: string }[]).find(
      ({ key }) => key === 'cores',
    ),
    { key: 'cores', pending: 2 },
  );
  t.is(await finish(cluster, 'POST', '/nodes/pve1/qemu/200/status/stop'), 'OK');
  t.like((await ask(cluster, 'GET', '/nodes/pve1/qemu/200/config?current=1')).data, { cores: 2 });
  t.is(await finish(cluster, 'DELETE', '/nodes/pve1/qemu/200?purge=1'), 'OK');
  t.deepEqual(await cluster.state.volumes.images('local', 200), []);
});

test('the medium in a drive is no disk of a machine', async (t) => {
  const cluster = await start(t);
  await writeFile(cluster.state.volumes.target('local', 'iso', 'a.iso'), 'medium');
  const drives = { ide2: 'local:iso/a.iso,media=cdrom', scsi0: 'local:1,format=qcow2', net0: 'virtio,bridge=vmbr0' };
  t.is(await finish(cluster, 'POST', '/nodes/pve1/qemu', { body: { vmid: 200, ...drives } }), 'OK');
  t.is(await finish(cluster, 'POST', '/nodes/pve1/qemu/200/snapshot', { body: { snapname: 's1' } }), 'OK');
  t.is(await finish(cluster, 'POST', '/nodes/pve1/qemu/200/clone', { body: { newid: 201, full: 1 } }), 'OK');
  const { data } = await ask(cluster, 'GET', '/nodes/pve1/qemu/201/config');
  t.like(data, { boot: 'order=scsi0;ide2;net0', ide2: drives.ide2, scsi0: 'local:201/vm-201-disk-0.qcow2,size=1G' });
  t.is(await finish(cluster, 'DELETE', '/nodes/pve1/qemu/201'), 'OK');
  t.true(await cluster.state.volumes.exists('local:iso/a.iso'));
});

test('what a running machine refuses waits for its stop', async (t) => {
  const asked: string[][] = [];
  class Refusing extends ApiOnlyRuntime {
    override async change(_ref: GuestRef, before: Section, { current }: GuestConfig): Promise<Record<string, string>> {
      const keys = Object.keys({ ...before.values, ...current.values });
      asked.push(keys.filter((key) => before.values[key] !== current.values[key]));
      return current.values['virtio0'] === undefined ? { virtio0: 'busy' } : {};
    }
  }
  const cluster = await start(t, { runtime: new Refusing() });
  const config = '/nodes/pve1/qemu/200/config';
  t.is(await finish(cluster, 'POST', '/nodes/pve1/qemu', { body: { vmid: 200, virtio0: 'local:1', start: 1 } }), 'OK');
  const { errors } = await ask(cluster, 'PUT', config, { body: { delete: 'virtio0' } });
  t.deepEqual(errors, { virtio0: 'hotplug problem - busy\n' });
  t.is((await ask(cluster, 'PUT', config, { body: { name: 'vm' } })).status, 200, 'it is not tried again');
  t.deepEqual(asked, [['virtio0', 'unused0'], ['name']]);
  const pending = (await ask(cluster, 'GET', '/nodes/pve1/qemu/200/pending')).data as { key: string }[];
  t.like(
    pending.find(({ key }) => key === 'virtio0'),
    { delete: 1 },
  );
  t.false(pending.some(({ key }) => key === 'unused0'));
  t.is(await finish(cluster, 'POST', '/nodes/pve1/qemu/200/status/stop'), 'OK');
  t.like((await ask(cluster, 'GET', config)).data, { unused0: 'local:200/vm-200-disk-0.raw' });
});

test('who reads the keys can make tickets', async (t) => {
  const cluster = await start(t);
  const etc = join(cluster.state.directory, 'etc/pve');
  const time = Math.floor(Date.now() / 1000)
    .toString(16)
    .toUpperCase();
  const plain = `PVE:root@pam:${time}`;
  const signature = createSign('sha1')
    .update(plain)
    .sign(await readFile(join(etc, 'priv/authkey.key')), 'base64');
  const hmac = (key: string | Buffer, text: string): string =>
    createHmac('sha256', key).update(text).digest('base64').replace(/=+$/, '');
  const secret = hmac(await readFile(join(etc, 'pve-www.key')), '');
  const headers = {
    cookie: `PVEAuthCookie=${encodeURIComponent(`${plain}::${signature}`)}`,
    csrfpreventiontoken: `${time}:${hmac(secret, `${time}:root@pam`)}`,
  };
  t.is((await ask(cluster, 'POST', '/pools', { headers, body: { poolid: 'made' } })).status, 200);
});

test('a person starts the program and disturbs it', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'pve-program-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const program = join(import.meta.dirname, '../pve/node');
  const options = [
    '--listen',
    '127.0.0.1:0',
    '--nodes',
    'a',
    '--version',
    '8.4',
    '--pace',
    '0',
    '--directory',
    directory,
    '--zfspool',
    'tank=rpool/data,sparse=1',
  ];
  const child = spawn(program, options, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  const lines: string[] = [];
  for await (const line of createInterface(child.stdout)) {
    lines.push(line);
    if (line.startsWith('control socket: ')) break;
  }
  t.regex(lines[0]!, /^a: https:\/\/127\.0\.0\.1:\d+$/);
  t.regex(lines[1]!, /^ {2}fingerprint (?:[0-9A-F]{2}:){31}[0-9A-F]{2}$/);
  t.regex(lines[2]!, /^token: PVEAPIToken=root@pam!node=/);
  const socketPath = lines.at(-1)!.replace('control socket: ', '');
  const control = async (path: string, body: unknown): Promise<void> => {
    const request = httpRequest({ socketPath, method: 'POST', path });
    request.end(JSON.stringify(body));
    const [answer] = (await once(request, 'response')) as [{ statusCode: number; resume: () => void }];
    answer.resume();
    t.is(answer.statusCode, 200);
  };
  await control('/guest', { node: 'a', type: 'lxc', vmid: 100, text: 'arch: amd64\n' });
  await control('/pool', { pool: 'rpool', imported: false });
  t.is(await readFile(join(directory, 'etc/pve/nodes/a/lxc/100.conf'), 'utf8'), 'arch: amd64\n');
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  t.deepEqual(await ended, [0, null]);
  await using again = await startCluster({ certificate, directory, nodes: ['a'], release: '8.4' });
  t.deepEqual(Object.keys(again.state.store.tokens), ['root@pam!node']);
  t.true(exists(again, 100));
  t.like((await ask(again, 'GET', '/storage/tank')).data, { type: 'zfspool', pool: 'rpool/data', sparse: 1 });
  t.like((await ask(again, 'GET', '/nodes/a/storage/tank/status')).data, { active: 0 });
});

for (const [kind, guests, need] of [
  ['lxc', 'containers', '/usr/bin/lxc-start'],
  ['qemu', 'virtual machines', '/usr/bin/kvm'],
] as const) {
  test(`without what real ${guests} need there are none`, async (t) => {
    const program = join(import.meta.dirname, '../pve/node');
    const directory = join(await mkdtemp(join(tmpdir(), 'pve-program-')), 'd'.repeat(100));
    t.teardown(() => rm(dirname(directory), { recursive: true, force: true }));
    const options = ['--guests', kind, '--listen', '127.0.0.1:0', '--directory', directory, '--zfspool', 'tank=tank'];
    const child = spawn(program, options);
    t.teardown(() => child.kill('SIGKILL'));
    const [said, ended] = await Promise.all([text(child.stderr), once(child, 'exit')]);
    t.deepEqual(ended, [2, null]);
    t.regex(said, new RegExp(`^test/pve/node: ${guests} need .*a shorter directory than /\\S+, which .*\n$`));
    if (!existsSync(need))
      t.regex(said, kind === 'lxc' ? /lxc-start.* \(package lxc\)/ : /\(package qemu-system-x86\)/);
    if (!existsSync('/usr/sbin/zfs')) t.regex(said, /zfs and zpool \(package zfsutils-linux\) for storage 'tank'/);
  });
}

test('all guests of a node start and end in their order', async (t) => {
  const cluster = await start(t, { nodes: ['pve1', 'pve2'] });
  const guests: [vmid: number, settings: Record<string, unknown>][] = [
    [100, { onboot: 1 }],
    [101, { onboot: 1, startup: 'order=2,down=7' }],
    [102, { onboot: 1, startup: 'order=1,up=4' }],
    [103, {}],
  ];
  for (const [vmid, settings] of guests) {
    t.is(await finish(cluster, 'POST', '/nodes/pve1/lxc', { body: { ...container(vmid), ...settings } }), 'OK');
  }
  t.is(await finish(cluster, 'POST', '/nodes/pve2/lxc', { body: { ...container(200), onboot: 1 } }), 'OK');
  const running = () => cluster.state.guests.list().filter((ref) => cluster.state.runtime.running(ref) !== undefined);
  const log = (type: string) => cluster.state.tasks.all().find((task) => task.type === type)?.log;
  t.is(await finish(cluster, 'POST', '/nodes/pve1/startall'), 'OK');
  t.deepEqual(log('startall'), [
    'Starting CT 102',
    'Waiting for 4 seconds (startup delay)',
    'Starting CT 101',
    'Starting CT 100',
    'TASK OK',
  ]);
  t.deepEqual(
    running().map(({ vmid }) => vmid),
    [100, 101, 102],
  );
  t.is(await finish(cluster, 'POST', '/nodes/pve1/stopall', { body: { timeout: 9 } }), 'OK');
  t.deepEqual(log('stopall'), [
    'Stopping CT 100 (timeout = 9 seconds)',
    'Stopping CT 101 (timeout = 7 seconds)',
    'Stopping CT 102 (timeout = 9 seconds)',
    'TASK OK',
  ]);
  t.deepEqual(running(), []);
});
