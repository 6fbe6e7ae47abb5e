import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { copyFile, lstat, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import type { ProxmoxClient } from '../../src/integrations/proxmox-api/client.ts';
import type { GuestRef } from '../../src/integrations/proxmox-api/guests/guest.ts';
import type { GuestSettings } from '../../src/integrations/proxmox-api/guests/guests.ts';
import { TaskFailedError } from '../../src/integrations/proxmox-api/tasks/follow.ts';
import type { Upid } from '../../src/integrations/proxmox-api/tasks/upid.ts';
import { eventually } from '../lib/eventually.ts';
import type { SimulatedCluster } from '../pve/cluster.ts';
import { ask, finish } from '../pve/http/ask.ts';
import { LxcRuntime } from '../pve/lxc/runtime.ts';
import { checkPool } from '../unit/pve/pool-behaviour.ts';
import { ClusterFixture } from './pve-cluster.ts';
import { FOREIGN, output, POOL, TestPool } from './pve-pool.ts';

const run = promisify(execFile);
const MIB = 1_048_576;
const APPLETS = 'cat reboot sh sleep touch'.split(' ');
/**
 * Ends at what Proxmox sends, unless it was told not to hear. It forks nothing from then on: amid a fork all signals are blocked, by
 * which liblxc takes an init for systemd, and sends another one.
 */
const INIT = `cat /proc/sys/kernel/hostname >/data/name 2>/dev/null
sleep 86400 &
trap 'test -e /deaf || exit 0' PWR
while :; do wait; done
`;

let fixture: ClusterFixture;
let cluster: SimulatedCluster;
let client: ProxmoxClient;
let directory: string;
let testPool: TestPool | undefined;

test.before(async () => {
  fixture = await ClusterFixture.make(new LxcRuntime());
  ({ cluster, client, directory } = fixture);
  const tree = join(directory, 'tree');
  for (const name of ['bin', 'dev', 'proc', 'sys', 'tmp']) await mkdir(join(tree, name), { recursive: true });
  await copyFile('/bin/busybox', join(tree, 'bin/busybox'));
  for (const applet of APPLETS) await symlink('busybox', join(tree, 'bin', applet));
  await writeFile(join(tree, 'init'), INIT);
  const archive = cluster.state.volumes.target('local', 'vztmpl', 'busybox.tar.zst');
  await run('tar', ['--create', '--zstd', '--file', archive, '--directory', tree, '.']);
});

test.after.always(async () => {
  await fixture.close();
  await testPool?.remove();
  await fixture.remove();
});

const havePool = async (): Promise<TestPool> => (testPool ??= await TestPool.make(directory));

const done = (upid: Upid) => fixture.done(upid);

/** SIGPWR in the masks of proc_pid_status(5). */
const SIGPWR = 1n << 29n;

/** Starts a guest and waits until its init handles the signal of a shutdown, and blocks none: without a handler the kernel drops it. */
async function started(guest: GuestRef): Promise<number> {
  const pid = await fixture.started(guest);
  await eventually('the handler of its init', async () => {
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    const mask = (name: string) => BigInt(`0x${new RegExp(`^${name}:\\s+(\\w+)`, 'm').exec(status)?.[1] ?? '0'}`);
    return (mask('SigCgt') & SIGPWR) !== 0n && mask('SigBlk') === 0n;
  });
  return pid;
}

/** Creates a container of node pve1; it goes with the test. */
async function create(t: ExecutionContext, vmid: number, settings: GuestSettings): Promise<GuestRef> {
  const ct: GuestRef = { kind: 'lxc', node: 'pve1', vmid };
  const common = {
    ostemplate: 'local:vztmpl/busybox.tar.zst',
    rootfs: 'local:0',
    entrypoint: '/bin/sh /init',
    swap: 0,
  };
  await done(await client.guests.create(ct, { ...common, memory: 64, ...settings }));
  t.teardown(async () => {
    const found = cluster.state.guests.find(vmid);
    if (found !== undefined) await finish(cluster, 'DELETE', `/nodes/${found.node}/lxc/${vmid}?force=1`);
  });
  return ct;
}

const stopped = (ct: GuestRef) =>
  eventually('the end', async () => (await client.guests.status(ct)).status === 'stopped');

const volume = (vmid: number, number = 0) =>
  cluster.state.volumes.file(`local:${vmid}/subvol-${vmid}-disk-${number}.subvol`);

async function limit(vmid: number, file: string): Promise<string> {
  return (await readFile(`/sys/fs/cgroup/lxc/${vmid}/${file}`, 'utf8')).trim();
}

const isLink = (name: string) => existsSync(`/sys/class/net/${name}`);

test.serial('an unprivileged container is as its configuration says', async (t) => {
  const bound = join(directory, 'bound');
  await mkdir(bound);
  const ct = await create(t, 100, {
    unprivileged: true,
    hostname: 'web',
    cpulimit: '0.5',
    mp0: 'local:0,mp=/data',
    mp1: `${bound},mp=/srv/bound,ro=1`,
    dev0: '/dev/net/tun,mode=0666',
    net0: 'name=eth0,bridge=vmbr0,tag=7,hwaddr=BC:24:11:00:00:01,ip=10.9.0.2/24,host-managed=1',
  });
  t.is((await lstat(join(volume(100), 'bin/busybox'))).uid, 100_000, 'unpacked with its ids');
  const pid = await started(ct);
  const proc = (file: string) => readFile(`/proc/${pid}/${file}`, 'utf8');
  t.regex(await proc('uid_map'), /^ +0 +100000 +65536\n$/);
  t.is(await proc('cgroup'), '0::/lxc/100/ns\n');
  t.regex(await proc('attr/apparmor/current'), /^lxc-100_/);
  t.is(await proc('cmdline'), '/bin/sh\0/init\0');
  const mounts = await proc('mountinfo');
  t.regex(mounts, /subvol-100-disk-0.subvol \/ rw/);
  t.regex(mounts, /subvol-100-disk-1.subvol \/data rw/);
  t.regex(mounts, /\/bound \/srv\/bound ro/);
  t.notRegex(await readFile('/proc/self/mountinfo', 'utf8'), /subvol-100/, 'mounted in its own namespace alone');
  const tun = await lstat(join('/proc', String(pid), 'root/dev/net/tun'));
  t.deepEqual([tun.isCharacterDevice(), tun.mode & 0o777, tun.uid], [true, 0o666, 100_000]);
  t.is(await eventually('its name', () => readFile(join(volume(100, 1), 'name'), 'utf8')), 'web\n');
  t.is(await limit(100, 'memory.max'), String(64 * MIB));
  t.is(await limit(100, 'cpu.max'), '50000 100000');
  const { stdout: vlans } = await run('bridge', ['vlan', 'show', 'dev', 'veth100i0']);
  t.regex(vlans, /veth100i0\s+7 PVID Egress Untagged\s*$/);
  const { data } = await ask(cluster, 'GET', '/nodes/pve1/lxc/100/interfaces');
  t.like(
    (data as Record<string, unknown>[]).find(({ name }) => name === 'eth0'),
    {
      hwaddr: 'bc:24:11:00:00:01',
      inet: '10.9.0.2/24',
    },
  );
  const status = await client.guests.status(ct);
  t.like(status, { status: 'running', maxmem: 64 * MIB, pid });
  t.true((status.mem ?? 0) > 0 && (status.mem ?? 0) < 64 * MIB);
  t.true((status.disk ?? 0) > 0 && (status.maxdisk ?? 0) > (status.disk ?? 0));

  await client.guests.configure(ct, {
    set: {
      memory: 96,
      cpulimit: 1,
      net1: 'name=eth1,bridge=vmbr0,hwaddr=BC:24:11:00:00:02,firewall=1',
      mp2: 'local:0,mp=/more',
    },
    remove: ['net0'],
  });
  t.is(await limit(100, 'memory.max'), String(96 * MIB));
  t.is(await limit(100, 'cpu.max'), '100000 100000');
  t.false(isLink('veth100i0'));
  const { stdout: master } = await run('ip', ['-o', 'link', 'show', 'veth100i1']);
  t.regex(master, /master fwbr100i1/, 'behind a bridge for the firewall');
  t.regex(await proc('net/dev'), /eth1:/);
  t.is((await client.guests.pending(ct)).find(({ key }) => key === 'mp2')?.value, undefined, 'it waits');

  process.kill(pid, 'SIGKILL');
  await stopped(ct);
  t.truthy((await client.guests.pending(ct)).find(({ key }) => key === 'mp2')?.value, 'what waited is applied');
  await done(await client.guests.delete(ct, {}));
  t.false(existsSync(volume(100)));
  t.deepEqual(await readdir(join(cluster.state.directory, 'lxc/pve1')), []);
  t.false(
    existsSync('/sys/fs/cgroup/lxc/100') ||
      existsSync('/sys/fs/cgroup/lxc.monitor/100') ||
      isLink('veth100i1') ||
      isLink('fwbr100i1'),
  );
});

test.serial('a privileged container ends and starts again', async (t) => {
  const ct = await create(t, 101, { unprivileged: false });
  const deaf = join(volume(101), 'deaf');
  t.is((await lstat(join(volume(101), 'init'))).uid, 0);
  const first = await started(ct);
  await writeFile(deaf, '');
  const failure = await t.throwsAsync(async () => done(await client.guests.shutdown(ct, { timeout: 1 })));
  t.regex(failure.message, /container did not stop/);
  t.true(existsSync(`/proc/${first}`));
  await rm(deaf);
  t.is(await finish(cluster, 'POST', '/nodes/pve1/lxc/101/status/reboot', { body: { timeout: 300 } }), 'OK');
  const { pid: second = 0 } = await client.guests.status(ct);
  t.not(second, first);
  await run('nsenter', ['-t', String(second), '-p', 'busybox', 'reboot', '-f']);
  const third = await eventually('the guest that reboots itself', async () => {
    const { pid, status } = await client.guests.status(ct);
    return status === 'running' && pid !== second && pid;
  });
  await writeFile(deaf, '');
  await done(await client.guests.shutdown(ct, { timeout: 1, forceStop: true }));
  t.false(existsSync(`/proc/${third}`));
  t.is((await client.guests.status(ct)).status, 'stopped');
});

test.serial('a start that fails says why', async (t) => {
  const ct = await create(t, 102, { unprivileged: true, entrypoint: '/missing' });
  const start = async () => done(await client.guests.start(ct));
  const error = await t.throwsAsync(start, { instanceOf: TaskFailedError });
  t.is(error.exitStatus, "startup for container '102' failed");
  t.regex(error.log.join('\n'), /expected sequence number 7/);
  await client.guests.configure(ct, { set: { mp0: '/etc/hostname,mp=/x' } });
  const again = await t.throwsAsync(start, { instanceOf: TaskFailedError });
  t.regex(again.log.join('\n'), /Script exited with status 9/);
  t.is((await client.guests.status(ct)).status, 'stopped');
});

test.serial('containers are copied, and move between nodes', async (t) => {
  const ct = await create(t, 103, { unprivileged: true });
  await writeFile(join(volume(103), 'mark'), 'here');
  await done(await client.guests.clone(ct, { newid: 104, full: true }));
  t.is(await readFile(join(volume(104), 'mark'), 'utf8'), 'here');
  t.is((await lstat(join(volume(104), 'init'))).uid, 100_000);
  await done(await client.guests.delete({ ...ct, vmid: 104 }, {}));
  await started(ct);
  const move = (body: Record<string, unknown>) => ask(cluster, 'POST', '/nodes/pve1/lxc/103/migrate', { body });
  t.regex((await move({ target: 'pve2' })).reason, /can't migrate running container/);
  const restart = { body: { target: 'pve2', restart: 1 } };
  t.is(await finish(cluster, 'POST', '/nodes/pve1/lxc/103/migrate', restart), 'OK');
  const moved = { ...ct, node: 'pve2' };
  const { pid = 0 } = await client.guests.status(moved);
  const { stdout } = await run('ps', ['-o', 'args=', '-C', 'lxc-start']);
  t.regex(stdout, /-P \S+\/lxc\/pve2\b/);
  t.deepEqual(await readdir(join(cluster.state.directory, 'lxc/pve1')), []);
  await done(await client.guests.stop(moved));
  t.false(existsSync(`/proc/${pid}`));
});

test.serial('volumes of a storage on ZFS are datasets', async (t) => {
  const pool = await havePool();
  const foreign = FOREIGN.map((name) => name.slice(POOL.length + 1));
  const states = {
    created: ['subvol-100-disk-0', 'subvol-100-disk-1'],
    resized: ['', '@first', '@second'].map((snapshot) => `subvol-100-disk-0${snapshot}`),
    cloned: ['basevol-100-disk-0', 'basevol-100-disk-0@__base__', 'subvol-102-disk-0'],
    machines: ['base-200-disk-0', 'base-200-disk-0@__base__', 'vm-201-disk-0'],
    gone: [],
  };
  await checkPool(t, {
    cluster,
    pool: POOL,
    mountpoint: pool.mountpoint,
    template: 'local:vztmpl/busybox.tar.zst',
    setImported: (imported) => pool.setImported(imported),
    look: async (state) => {
      t.deepEqual((await pool.names()).sort(), [...foreign, ...states[state]].sort(), state);
      if (state === 'created') {
        const made = await pool.get('subvol-100-disk-0', 'refquota', 'acltype', 'xattr', 'type', 'mounted');
        t.deepEqual(made, ['1073741824', 'posix', 'sa', 'filesystem', 'yes']);
        t.is((await pool.get('subvol-100-disk-1', 'refquota'))[0], '0');
        t.is((await lstat(join(pool.mountpoint, 'subvol-100-disk-0/bin/busybox'))).uid, 100_000);
      }
      if (state === 'resized') {
        t.deepEqual(await pool.get('subvol-100-disk-0', 'refquota'), [String(2048 * MIB)]);
        t.deepEqual(await pool.get('subvol-100-disk-0@first', 'pve-storage:refquota'), [String(1024 * MIB)]);
      }
      if (state === 'machines') {
        t.deepEqual(await pool.get('base-200-disk-0', 'volsize', 'volblocksize', 'refreservation'), [
          String(1024 * MIB),
          '16384',
          '0',
        ]);
        const clone = await pool.get('vm-201-disk-0', 'origin', 'volsize');
        t.deepEqual(clone, [`${POOL}/base-200-disk-0@__base__`, String(2048 * MIB)]);
      }
      if (state === 'cloned') {
        const clone = await pool.get('subvol-102-disk-0', 'origin', 'refquota');
        t.deepEqual(clone, [`${POOL}/basevol-100-disk-0@__base__`, '1073741824']);
      }
    },
  });
});

test.serial('a running container on ZFS has snapshots', async (t) => {
  const pool = await havePool();
  const added = await ask(cluster, 'POST', '/storage', { body: { storage: 'tank', type: 'zfspool', pool: POOL } });
  t.is(added.status, 200, added.reason);
  t.teardown(() => ask(cluster, 'DELETE', '/storage/tank'));
  const task = (verb: string, path: string, body: Record<string, unknown> = {}) =>
    finish(cluster, verb, `/nodes/pve1/lxc${path}`, { body });
  const template = await create(t, 105, { unprivileged: true, rootfs: 'tank:0.25' });
  t.is((await ask(cluster, 'POST', '/nodes/pve1/lxc/105/template')).status, 200);
  await eventually('the template', async () => (await pool.names()).includes('basevol-105-disk-0@__base__'));
  t.is(await task('POST', '/105/clone', { newid: 106 }), 'OK');
  const ct = { ...template, vmid: 106 };
  const root = join(pool.mountpoint, 'subvol-106-disk-0');
  const pid = await started(ct);
  t.regex(await readFile(`/proc/${pid}/mountinfo`, 'utf8'), / \/ \/ rw.* - zfs guest\/ct\/subvol-106-disk-0 rw/);
  await writeFile(join(root, 'before'), '');
  t.is(await task('POST', '/106/snapshot', { snapname: 'one' }), 'OK');
  t.true(existsSync(`/proc/${pid}`));
  t.is(await limit(106, 'cgroup.freeze'), '0');
  await writeFile(join(root, 'after'), '');
  t.is(await task('POST', '/106/clone', { newid: 107, full: 1, snapname: 'one' }), 'OK');
  const copy = join(pool.mountpoint, 'subvol-107-disk-0');
  t.deepEqual([existsSync(join(copy, 'before')), existsSync(join(copy, 'after'))], [true, false]);
  t.deepEqual(await pool.get('subvol-107-disk-0', 'origin', 'refquota'), ['-', String(256 * MIB)]);
  t.is(await task('DELETE', '/107'), 'OK', 'no namespace of the running one keeps it busy');
  t.is(await task('POST', '/106/snapshot/one/rollback'), 'OK');
  t.false(existsSync(`/proc/${pid}`), 'it was stopped');
  const again = await started(ct);
  t.deepEqual([existsSync(join(root, 'before')), existsSync(join(root, 'after'))], [true, false]);
  t.is((await client.guests.status(ct)).maxdisk, 256 * MIB, 'its quota is its disk');
  t.is(await task('DELETE', '/106?force=1'), 'OK');
  t.false(existsSync(`/proc/${again}`));
  t.is(await task('DELETE', '/105'), 'OK');

  const [available = '0'] = await pool.get('data', 'available');
  await output('zfs', 'set', `refreservation=${Number(available) - MIB}`, `${POOL}/data`);
  const failure = await t.throwsAsync(create(t, 108, { unprivileged: true, rootfs: 'tank:1' }));
  t.regex(failure.message, /unable to create CT 108 - /);
  t.is(cluster.state.guests.find(108), undefined);
  t.deepEqual(
    await pool.names(),
    FOREIGN.map((name) => name.slice(POOL.length + 1)),
  );
});
