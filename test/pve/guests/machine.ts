import { textOf, type Call } from '../api/method.ts';
import { fault, messageOf } from '../http/api-error.ts';
import type { ClusterState } from '../state/cluster-state.ts';
import type { GuestRef } from '../state/guest-files.ts';
import { checkLock, loadGuest } from '../config/guest.ts';
import type { Monitor } from './runtime.ts';

const READY_MS = 60_000;
const PING_MS = 3000;

interface Block {
  readonly qdev?: string;
  readonly inserted?: { readonly 'node-name'?: string };
}

interface BlockStatistics {
  readonly stats: { readonly rd_bytes: number; readonly wr_bytes: number };
}

/** What QEMU says of its run state; undefined for a machine that is no process. */
async function runState(monitor: Monitor | undefined, timeout?: number): Promise<string | undefined> {
  if (monitor === undefined) return undefined;
  return ((await monitor.execute('query-status', {}, timeout)) as { status: string }).status;
}

/** Whether the machine stands still, so that its guest does not hear the power button. */
export async function isPaused(state: ClusterState, ref: GuestRef): Promise<boolean> {
  const status = await runState(state.runtime.monitor(ref)).catch(() => undefined);
  return status === 'paused' || status === 'suspended' || status === 'prelaunch';
}

/** Switches the machine off and on, as its button does; one that is no process has nothing to forget. */
export async function resetMachine(state: ClusterState, ref: GuestRef): Promise<void> {
  checkLock(ref, loadGuest(state, ref));
  await state.runtime.monitor(ref)?.execute('system_reset');
}

/**
 * Lets the machine stand still.
 * @throws ApiError when it is no process.
 */
export async function suspendMachine(state: ClusterState, ref: GuestRef): Promise<void> {
  checkLock(ref, loadGuest(state, ref), 'backup');
  const monitor = state.runtime.monitor(ref);
  if (monitor === undefined) throw fault('suspending needs a QEMU process, which the simulated node does not run');
  await monitor.execute('stop');
}

/** Lets the machine go on; one that runs, or is no process, does already. */
export async function resumeMachine(state: ClusterState, ref: GuestRef): Promise<void> {
  const config = loadGuest(state, ref);
  const monitor = state.runtime.monitor(ref);
  const status = await runState(monitor, READY_MS);
  if (monitor === undefined || status === 'running') return;
  checkLock(ref, config, 'backup');
  if (status === 'shutdown') await monitor.execute('system_reset');
  await monitor.execute(status === 'suspended' ? 'system_wakeup' : 'cont');
}

/**
 * Tells a running machine that a disk has grown.
 * @param bytes its new size
 */
export async function enlargeDisk(state: ClusterState, ref: GuestRef, key: string, bytes: number): Promise<void> {
  const monitor = ref.kind.type === 'qemu' ? state.runtime.monitor(ref) : undefined;
  if (monitor === undefined) return;
  const blocks = (await monitor.execute('query-block')) as Block[];
  const node = blocks.find(({ qdev = '' }) => qdev === key || qdev.split('/').includes(key))?.inserted?.['node-name'];
  if (node === undefined) throw fault(`no block node inserted for drive '${key}'`);
  await monitor.execute('block_resize', { 'node-name': node, size: Math.ceil(bytes / 1024) * 1024 }, READY_MS);
}

function monitorOf({ state }: Call, ref: GuestRef): Monitor {
  const monitor = state.runtime.monitor(ref);
  if (monitor !== undefined) return monitor;
  if (state.runtime.running(ref) === undefined) throw fault(`VM ${ref.vmid} not running`);
  throw fault('monitor commands need a QEMU process, which the simulated node does not run');
}

/**
 * Presses a key.
 * @throws ApiError when the machine does not know it or does not run.
 */
export async function sendKey(call: Call, ref: GuestRef): Promise<void> {
  await call.state.locked(ref.kind, ref.vmid, async () => {
    loadGuest(call.state, ref);
    const said = await monitorOf(call, ref).human(`sendkey ${textOf(call, 'key')}`);
    if (said !== '') throw fault(said.trim());
  });
}

/** Commands of the monitor that only root@pam may give since release 9; of the others, all but the first need a privilege. */
const HARMLESS = /^(?:\?|help|info)$/;
const OF_ROOT =
  /^(?:backup|block_stream|change|chardev-(?:add|change|remove)|client_migrate_info|device_(?:add|del)|drive_\w+|dump-guest-memory|dumpdtb|gdbserver|hostfwd_\w+|logfile|mce|memsave|migrate|migrate_(?:incoming|recover)|nbd_server_\w+|netdev_(?:add|del)|nmi|o|object_(?:add|del)|pcie_aer_inject_error|pmemsave|qom-set|savevm-(?:end|start)|screendump|snapshot_blkdev|watchdog_action|wavcapture|xen-event-\w+)$/;

/**
 * Runs a line of the monitor for people; what the machine has against it is part of the answer.
 * @throws ApiError when the caller may not give the command.
 */
export async function monitorCommand(call: Call, ref: GuestRef): Promise<string> {
  const { state, who } = call;
  const line = textOf(call, 'command');
  const [, name = ''] = /^\s*(\S+)/.exec(line) ?? [];
  const reads = state.nine ? HARMLESS.test(name) : /^\s*(?:info(?:\s|$)|help\s*$)/.test(line);
  const root = who.user === 'root@pam' && who.token === undefined;
  if (state.nine && OF_ROOT.test(name) && !root) throw fault(`root-only command '${name}'`);
  if (!reads) state.access.require(who, '/', ['Sys.Modify']);
  loadGuest(state, ref);
  try {
    return await monitorOf(call, ref).human(line);
  } catch (error) {
    return `ERROR: ${messageOf(error)}\n`;
  }
}

/**
 * Runs a command of the agent in the guest.
 * @throws ApiError when none is configured, or none answers.
 */
export async function agentCommand({ state }: Call, ref: GuestRef, command: string): Promise<{ result: unknown }> {
  const { agent } = loadGuest(state, ref).current.values;
  if (agent === undefined) throw fault('No QEMU guest agent configured');
  if (state.runtime.running(ref) === undefined) throw fault(`VM ${ref.vmid} is not running`);
  const monitor = state.runtime.monitor(ref);
  const answers = await monitor?.agent('guest-ping', {}, PING_MS).then(
    () => true,
    () => false,
  );
  if (monitor === undefined || answers !== true) throw fault('QEMU guest agent is not running');
  return { result: await monitor.agent(`guest-${command}`) };
}

/** What the monitor of a machine says of it for lists that ask for everything, and its run state. */
export async function fullStatus(state: ClusterState, ref: GuestRef): Promise<Record<string, unknown>> {
  const running = state.runtime.running(ref) !== undefined;
  const monitor = state.runtime.monitor(ref);
  const known = { qmpstatus: running ? 'running' : 'stopped' };
  if (monitor === undefined) return known;
  try {
    const blocks = (await monitor.execute('query-blockstats')) as BlockStatistics[];
    const type = String(await monitor.execute('qom-get', { path: '/machine', property: 'type' }));
    const { qemu } = (await monitor.execute('query-version')) as { qemu: Record<'major' | 'minor' | 'micro', number> };
    return {
      qmpstatus: await runState(monitor),
      diskread: blocks.reduce((sum, { stats }) => sum + stats.rd_bytes, 0),
      diskwrite: blocks.reduce((sum, { stats }) => sum + stats.wr_bytes, 0),
      'running-machine': type.replace(/-machine$/, ''),
      'running-qemu': `${qemu.major}.${qemu.minor}.${qemu.micro}`,
    };
  } catch {
    // It ends at any moment, or does not answer in time: the rest of the status is answered all the same.
    return known;
  }
}

/** What `status/current` says of a machine beyond lists. */
export async function machineStatus(state: ClusterState, ref: GuestRef): Promise<Record<string, unknown>> {
  const { values } = loadGuest(state, ref).current;
  return {
    ...(await fullStatus(state, ref)),
    ...(/^(?:enabled=)?1(?:,|$)/.test(values['agent'] ?? '') ? { agent: 1 } : {}),
    ...(Object.keys(values).some((key) => /^serial\d$/.test(key)) ? { serial: 1 } : {}),
  };
}
