import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import type { ProxmoxClient } from '../../../src/integrations/proxmox-api/client.ts';
import type { GuestRef } from '../../../src/integrations/proxmox-api/guests/guest.ts';
import type { GuestSettings } from '../../../src/integrations/proxmox-api/guests/guests.ts';
import { TaskFailedError } from '../../../src/integrations/proxmox-api/tasks/follow.ts';
import type { Upid } from '../../../src/integrations/proxmox-api/tasks/upid.ts';
import { eventually } from '../../lib/eventually.ts';
import { startCluster, type SimulatedCluster } from '../../pve/cluster.ts';
import { ask, finish } from '../../pve/http/ask.ts';
import { QemuRuntime } from '../../pve/qemu/runtime.ts';
import { ClusterFixture } from '../pve-cluster.ts';

const run = promisify(execFile);
const MIB = 1_048_576;
/** Says R on the first serial port, sleeps until the power button is pressed, and switches itself off. */
const PROGRAM = Buffer.from(
  'ba0206b80001ef' + // the power button shows: out 0x602, 0x100
    'baf803b052ee' + // out 0x3f8, 'R'
    'fbf4ba0006edf6c40174f5' + // sti; hlt; in 0x600; until its bit 8 is set
    'ba0406b80020ef' + // off: out 0x604, 0x2000
    'f4ebfd',
  'hex',
);

let fixture: ClusterFixture;
let cluster: SimulatedCluster;
let client: ProxmoxClient;
let directory: string;

test.before(async () => {
  fixture = await ClusterFixture.make(new QemuRuntime());
  ({ cluster, client, directory } = fixture);
});

test.after.always(async () => {
  await fixture.close();
  await fixture.remove();
});

const done = (upid: Upid) => fixture.done(upid);

const started = (guest: GuestRef) => fixture.started(guest);

/** Creates a small machine of node pve1; it goes with the test. */
async function create(t: ExecutionContext, vmid: number, settings: GuestSettings): Promise<GuestRef> {
  const vm: GuestRef = { kind: 'qemu', node: 'pve1', vmid };
  await done(await client.guests.create(vm, { memory: 32, ...settings }));
  t.teardown(async () => {
    if (cluster.state.guests.find(vmid) === undefined) return;
    await finish(cluster, 'POST', `/nodes/pve1/qemu/${vmid}/status/stop`);
    await finish(cluster, 'DELETE', `/nodes/pve1/qemu/${vmid}`);
  });
  return vm;
}

async function commandOf(pid: number): Promise<string[]> {
  return (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0').slice(0, -1);
}

/** Whether the process has ended: one that nobody has waited for yet has no command line any more. */
const isGone = async (pid: number) => (await commandOf(pid).catch(() => [])).length === 0;

/** The values of an option in their order. */
const all = (command: readonly string[], option: string) => command.filter((_, index) => command[index - 1] === option);

const socketOf = (vmid: number, kind: string, of = cluster) =>
  join(of.state.directory, 'run/qemu-server', `${vmid}.${kind}`);

/** Asks QEMU itself, over a connection of its own. */
function qmp(vmid: number, execute: string, of = cluster): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketOf(vmid, 'qmp', of));
    const returned: unknown[] = [];
    let text = '';
    socket.on('error', reject);
    socket.write(`{"execute":"qmp_capabilities"}\n${JSON.stringify({ execute })}\n`);
    socket.on('data', (chunk) => {
      const lines = (text + chunk.toString('utf8')).split('\n');
      text = lines.pop()!;
      returned.push(...lines.map((line) => JSON.parse(line) as object).filter((one) => 'return' in one));
      if (returned.length < 2) return;
      resolve((returned[1] as { return: unknown }).return);
      socket.destroy();
    });
  });
}

const runState = async (vmid: number) => ((await qmp(vmid, 'query-status')) as { status: string }).status;

interface Block {
  readonly qdev?: string;
  readonly inserted?: { readonly image: { readonly filename: string; readonly 'virtual-size': number } };
}

const blocks = async (vmid: number, of = cluster) => (await qmp(vmid, 'query-block', of)) as Block[];

/** The disk `id` as QEMU has it. */
async function image(vmid: number, id: string, of = cluster) {
  const found = (await blocks(vmid, of)).find(({ qdev = '' }) => qdev.split('/').includes(id));
  return found?.inserted?.image;
}

const api = (verb: string, path: string, body?: Record<string, unknown>, of = cluster) =>
  ask(of, verb, `/nodes/pve1/qemu/${path}`, body && { body });

test.serial('a machine is the process that its configuration says', async (t) => {
  const iso = cluster.state.volumes.target('local', 'iso', 'boot.iso');
  await writeFile(iso, '');
  await truncate(iso, MIB);
  const vm = await create(t, 100, {
    name: 'web',
    cores: 2,
    freeze: true,
    agent: '1',
    cpulimit: '0.5',
    scsihw: 'virtio-scsi-pci',
    scsi0: 'local:1,discard=on',
    ide2: 'local:iso/boot.iso,media=cdrom',
    net0: 'virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=7',
    serial0: 'socket',
    args: '-fw_cfg name=opt/org.example/note,string=a',
  });
  const pid = await started(vm);
  const command = await commandOf(pid);
  const file = cluster.state.volumes.file('local:100/vm-100-disk-0.raw');
  t.is(command[0], '/usr/bin/kvm');
  t.deepEqual(all(command, '-name'), ['web,debug-threads=on']);
  t.true(command.includes('-no-shutdown') && command.includes('-daemonize') && command.includes('-nodefaults'));
  t.deepEqual(all(command, '-pidfile'), [socketOf(100, 'pid')]);
  t.deepEqual(all(command, '-smp'), ['2,sockets=1,cores=2,maxcpus=2']);
  t.deepEqual(all(command, '-m'), ['32']);
  t.regex(all(command, '-blockdev').join('\n'), new RegExp(`"filename":"${file}".*"node-name":"drive-scsi0"`));
  t.regex(all(command, '-netdev')[0]!, /^type=tap,id=net0,ifname=tap100i0,script=\S+\/pve-bridge,/);
  t.true(all(command, '-device').includes('virtserialport,chardev=qga0,name=org.qemu.guest_agent.0'));
  t.deepEqual(command.slice(-2), ['-fw_cfg', 'name=opt/org.example/note,string=a']);
  t.is(await readFile(`/proc/${pid}/cgroup`, 'utf8'), '0::/qemu.slice/100.scope\n');
  t.is(await readFile('/sys/fs/cgroup/qemu.slice/100.scope/cpu.max', 'utf8'), '50000 100000\n');
  const { stdout: link } = await run('ip', ['-o', 'link', 'show', 'tap100i0']);
  t.regex(link, /master vmbr0/);
  const { stdout: vlans } = await run('bridge', ['vlan', 'show', 'dev', 'tap100i0']);
  t.regex(vlans, /tap100i0\s+7 PVID Egress Untagged\s*$/);
  t.true((await image(100, 'ide2'))?.filename.includes(`"${iso}"`));

  const current = async () => (await api('GET', '100/status/current')).data as Record<string, unknown>;
  t.like(await current(), {
    status: 'running',
    qmpstatus: 'prelaunch',
    pid,
    agent: 1,
    maxmem: 32 * MIB,
    'running-machine': 'pc-i440fx-10.0',
  });
  t.is(await finish(cluster, 'POST', '/nodes/pve1/qemu/100/status/resume'), 'OK');
  t.is(await runState(100), 'running');
  t.is(await finish(cluster, 'POST', '/nodes/pve1/qemu/100/status/suspend'), 'OK');
  t.is(await runState(100), 'paused');
  t.is((await current())['qmpstatus'], 'paused');
  t.is(await finish(cluster, 'POST', '/nodes/pve1/qemu/100/status/reset'), 'OK');
  t.is((await api('PUT', '100/sendkey', { key: 'ret' })).status, 200);
  t.regex((await api('PUT', '100/sendkey', { key: 'nokey' })).reason, /nokey/);
  t.is((await api('POST', '100/monitor', { command: 'info name' })).data, 'web\n');
  t.true(Number((await current())['mem']) > 0);
  t.is((await api('POST', '100/status/shutdown')).reason, 'VM is paused - cannot shutdown');
  t.regex((await api('DELETE', '100')).reason, /VM 100 is running - destroy failed/);
  t.is((await api('POST', '100/agent/ping')).reason, 'QEMU guest agent is not running');

  await done(await client.guests.resize(vm, 'scsi0', '+8M'));
  t.is((await image(100, 'scsi0'))?.['virtual-size'], 1032 * MIB);
  await client.guests.configure(vm, {
    set: {
      memory: 48,
      cpulimit: 1,
      scsi1: 'local:1',
      net1: 'virtio=BC:24:11:00:00:02,bridge=vmbr0',
      ide2: 'none,media=cdrom',
    },
  });
  t.is(await readFile('/sys/fs/cgroup/qemu.slice/100.scope/cpu.max', 'utf8'), '100000 100000\n');
  t.is((await image(100, 'scsi1'))?.['virtual-size'], 1024 * MIB);
  t.is(await image(100, 'ide2'), undefined);
  t.regex((await run('ip', ['-o', 'link', 'show', 'tap100i1'])).stdout, /master vmbr0/);
  await client.guests.configure(vm, { remove: ['scsi1'] });
  t.is(await image(100, 'scsi1'), undefined);
  t.like((await client.guests.config(vm)).values, { unused0: 'local:100/vm-100-disk-1.raw' });
  t.is((await client.guests.pending(vm)).find(({ key }) => key === 'memory')?.pending, '48', 'it waits');

  process.kill(pid, 'SIGKILL');
  await eventually('the end', () => isGone(pid));
  t.is((await client.guests.status(vm)).status, 'stopped', 'at once');
  await eventually('what waited', async () =>
    (await client.guests.pending(vm)).every((one) => one.pending === undefined),
  );
  const second = await started(vm);
  t.deepEqual(all(await commandOf(second), '-m'), ['48']);
  await done(await client.guests.stop(vm));
  t.true(await isGone(second));
  t.deepEqual(await readdir(join(cluster.state.directory, 'run/qemu-server')), []);
  await done(await client.guests.delete(vm, {}));
  t.false(existsSync(file) || existsSync('/sys/fs/cgroup/qemu.slice/100.scope'));
});

test.serial('a guest that is asked to ends, and starts again', async (t) => {
  const vm = await create(t, 101, { scsihw: 'virtio-scsi-pci', scsi0: 'local:1', serial0: 'socket', vga: 'serial0' });
  const disk = Buffer.alloc(512);
  PROGRAM.copy(disk);
  disk.writeUInt16LE(0xaa55, 510);
  await writeFile(cluster.state.volumes.file('local:101/vm-101-disk-0.raw'), disk, { flag: 'r+' });
  /** Waits until the guest's program has begun. */
  const ready = () =>
    new Promise<void>((resolve, reject) => {
      const socket = connect(socketOf(101, 'serial0'));
      socket.on('error', reject);
      socket.on('data', (chunk) => {
        if (!chunk.includes('R')) return;
        socket.destroy();
        resolve();
      });
    });
  const first = await started(vm);
  await ready();
  t.is(await finish(cluster, 'POST', '/nodes/pve1/qemu/101/status/reboot', { body: { timeout: 300 } }), 'OK');
  const { pid: second = 0 } = await client.guests.status(vm);
  t.not(second, first);
  t.true(await isGone(first));
});

test.serial('a start that fails says why, and scripts are run', async (t) => {
  const vm = await create(t, 102, { freeze: true, args: '-nonsense' });
  const start = async () => done(await client.guests.start(vm));
  const error = await t.throwsAsync(start, { instanceOf: TaskFailedError });
  t.is(error.exitStatus, 'start failed: QEMU exited with code 1');
  t.regex(error.log.join('\n'), /-nonsense: invalid option/);
  await client.guests.configure(vm, { remove: ['args'], set: { net0: 'virtio,bridge=vmbr9' } });
  t.is((await t.throwsAsync(start, { instanceOf: TaskFailedError })).exitStatus, "bridge 'vmbr9' does not exist");
  t.is((await client.guests.status(vm)).status, 'stopped');
  t.false(existsSync('/sys/fs/cgroup/qemu.slice/102.scope'));

  const [script, told] = [cluster.state.volumes.target('local', 'snippets', 'hook.sh'), join(directory, 'told')];
  await writeFile(script, `#!/bin/sh\necho "$1 $2" >>${told}\ntest "$2" != "$(cat ${told}.fail)"\n`, { mode: 0o755 });
  await writeFile(`${told}.fail`, 'pre-start');
  await client.guests.configure(vm, { remove: ['net0'], set: { hookscript: 'local:snippets/hook.sh' } });
  const refused = await t.throwsAsync(start, { instanceOf: TaskFailedError });
  t.regex(refused.exitStatus, /^hookscript error for 102 on pre-start: command '.*hook.sh 102 pre-start' failed/);
  await writeFile(`${told}.fail`, 'none');
  t.is(await finish(cluster, 'POST', '/nodes/pve1/startall', { body: { vms: '102', force: 1 } }), 'OK');
  const { pid = 0 } = await client.guests.status(vm);
  t.false(await isGone(pid));
  await qmp(102, 'cont');
  const failure = await t.throwsAsync(async () => done(await client.guests.shutdown(vm, { timeout: 0 })));
  t.regex(failure.message, /VM quit\/powerdown failed - got timeout/, 'firmware alone does not hear');
  t.is(await finish(cluster, 'POST', '/nodes/pve1/stopall', { body: { vms: '102', timeout: 0 } }), 'OK');
  t.true(await isGone(pid));
  const { log } = cluster.state.tasks.all().find(({ type }) => type === 'qmshutdown')!;
  t.deepEqual(log, ['VM still running - terminating now with SIGTERM', 'TASK OK']);
  const phases = ['pre-start', 'pre-start', 'post-start', 'pre-stop', 'pre-stop', 'post-stop'];
  t.deepEqual(
    (await readFile(told, 'utf8')).trim().split('\n'),
    phases.map((phase) => `102 ${phase}`),
  );
});

test.serial('release 8 starts machines in its own way', async (t) => {
  const eight = await startCluster({ release: '8.4', runtime: new QemuRuntime(), directory: join(directory, 'eight') });
  t.teardown(() => eight.close());
  const create8 = { vmid: 103, memory: 32, freeze: 1, scsihw: 'virtio-scsi-pci', virtio0: 'local:1,format=qcow2' };
  t.is(await finish(eight, 'POST', '/nodes/pve1/qemu', { body: create8 }), 'OK');
  t.is(await finish(eight, 'PUT', '/nodes/pve1/qemu/103/resize', { body: { disk: 'virtio0', size: '+8M' } }), 'OK');
  t.is(await finish(eight, 'POST', '/nodes/pve1/qemu/103/status/start'), 'OK');
  t.is((await image(103, 'virtio0', eight))?.['virtual-size'], 1032 * MIB);
  const { pid } = (await api('GET', '103/status/current', undefined, eight)).data as { pid: number };
  const command = await commandOf(pid);
  const file = eight.state.volumes.file('local:103/vm-103-disk-0.qcow2');
  t.deepEqual(all(command, '-drive'), [
    `file=${file},if=none,id=drive-virtio0,format=qcow2,cache=none,aio=threads,detect-zeroes=on`,
  ]);
  t.is((await api('PUT', '103/config', { scsi0: 'local:1' }, eight)).status, 200);
  t.is((await image(103, 'scsi0', eight))?.['virtual-size'], 1024 * MIB);
  t.is((await api('PUT', '103/config', { delete: 'scsi0' }, eight)).status, 200);
  t.is(await image(103, 'scsi0', eight), undefined);
  await eight.close();
  t.true(await isGone(pid), 'machines end with their node');
});
