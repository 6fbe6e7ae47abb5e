import { numberOf, textOf, type Call, type PermissionRequest } from '../api/method.ts';
import { elements } from '../api/params/formats.ts';
import { isTemplate, loadGuest } from '../config/guest.ts';
import { messageOf } from '../http/api-error.ts';
import { resourceOf } from '../ha/resource.ts';
import type { ClusterState } from '../state/cluster-state.ts';
import type { GuestRef } from '../state/guest-files.ts';
import type { Worker } from '../state/tasks.ts';
import { shutter, starter } from './lifecycle.ts';
import { hostCpus } from './status.ts';

/** A guest of a node, as its `startup` says when it is started and ended. */
interface Turn {
  readonly ref: GuestRef;
  /** Its place; without one it is last. */
  readonly order: number;
  /** Seconds to wait after its start. */
  readonly up: number | undefined;
  /** Seconds that it has to end. */
  readonly down: number | undefined;
  readonly onboot: boolean;
}

function turnOf(state: ClusterState, ref: GuestRef): Turn {
  const { startup = '', onboot } = loadGuest(state, ref).current.values;
  const number = (pattern: RegExp): number | undefined => {
    const [, value] = pattern.exec(startup) ?? [];
    return value === undefined ? undefined : Number(value);
  };
  return {
    ref,
    order: number(/^(?:order=)?(\d+)/) ?? Infinity,
    up: number(/(?:^|,)up=(\d+)/),
    down: number(/(?:^|,)down=(\d+)/),
    onboot: onboot === '1',
  };
}

/** The guests of the call's node by their order: those named, or all that HA does not manage. Templates are none. */
function groups(call: Call): Turn[][] {
  const { state, node } = call;
  const named = elements(textOf(call, 'vms')).map(Number);
  const turns = state.guests
    .list()
    .filter((ref) => ref.node === node && !isTemplate(loadGuest(state, ref)))
    .filter((ref) => (named.length > 0 ? named.includes(ref.vmid) : state.store.ha[resourceOf(ref)] === undefined))
    .map((ref) => turnOf(state, ref));
  const orders = [...new Set(turns.map(({ order }) => order))].sort((a, b) => a - b);
  return orders.map((order) => turns.filter((turn) => turn.order === order).sort((a, b) => a.ref.vmid - b.ref.vmid));
}

/** Works on the turns in their order, on as many at once as the cluster is configured for. */
async function inTurns(call: Call, turns: readonly Turn[], work: (turn: Turn) => Promise<void>): Promise<void> {
  const { max_workers: configured = Math.max(1, hostCpus - 1) } = call.state.store.options;
  const width = numberOf(call, 'max-workers') || Number(configured);
  const left = [...turns];
  const worker = async (): Promise<void> => {
    for (let turn = left.shift(); turn !== undefined; turn = left.shift()) await work(turn);
  };
  await Promise.all(Array.from({ length: width }, worker));
}

/** @throws ApiError 403 unless the caller may start and end every guest of the node, or each that is named. */
export function requirePower({ state, who, params }: PermissionRequest): void {
  if (state.access.allows(who, '/', ['VM.PowerMgmt'])) return;
  const { vms } = params;
  const named = elements(typeof vms === 'string' || typeof vms === 'number' ? vms : undefined);
  for (const vmid of named) state.access.require(who, `/vms/${vmid}`, ['VM.PowerMgmt']);
  if (named.length === 0) state.access.require(who, '/', ['VM.PowerMgmt']);
}

async function startOne(call: Call, { ref, up }: Turn, { log }: Worker): Promise<void> {
  const { state } = call;
  const { kind, vmid } = ref;
  if (state.runtime.running(ref) !== undefined) return;
  log(`Starting ${kind.label} ${vmid}`);
  const upid = call.fork(`${kind.tasks}start`, String(vmid), starter(state, ref, false));
  await state.tasks.ended(upid);
  const exit = state.tasks.get(upid)?.exit ?? '';
  if (exit !== 'OK' && !exit.startsWith('WARNINGS')) log(`Starting ${kind.label} ${vmid} failed: ${exit}`);
  if (up !== undefined && up > 0) log(`Waiting for ${up} seconds (startup delay)`);
  await state.pause((up ?? (kind.type === 'qemu' ? 3 : 0)) * 1000);
}

/**
 * Starts the guests of a node that begin with it, or with `force` all, in their order.
 * @returns the task's UPID
 */
export function startAll(call: Call): string {
  const force = numberOf(call, 'force') === 1;
  return call.fork('startall', '', async (worker) => {
    for (const group of groups(call)) {
      const wanted = group.filter(({ onboot }) => force || onboot);
      await inTurns(call, wanted, (turn) => startOne(call, turn, worker));
    }
  });
}

async function endOne(call: Call, { ref, down }: Turn, { log }: Worker): Promise<void> {
  const { state } = call;
  const { kind, vmid } = ref;
  if (state.runtime.running(ref) === undefined) return;
  const timeout = down ?? Number(call.params['timeout'] ?? 180);
  log(`Stopping ${kind.label} ${vmid} (timeout = ${timeout} seconds)`);
  const options = { timeout, force: call.params['force-stop'] !== 0 };
  try {
    await state.tasks.ended(call.fork(`${kind.tasks}shutdown`, String(vmid), shutter(state, ref, options)));
  } catch (error) {
    log(messageOf(error));
  }
}

/**
 * Ends the guests of a node in the reverse of their order, as a node does before it goes down.
 * @returns the task's UPID
 */
export function stopAll(call: Call): string {
  return call.fork('stopall', '', async (worker) => {
    for (const group of groups(call).reverse()) {
      await inTurns(call, [...group].reverse(), (turn) => endOne(call, turn, worker));
    }
  });
}
