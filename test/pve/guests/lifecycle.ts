import type { Call } from '../api/method.ts';
import { fault, messageOf } from '../http/api-error.ts';
import { nameOf, type Identity } from '../state/access.ts';
import type { ClusterState } from '../state/cluster-state.ts';
import type { GuestRef } from '../state/guest-files.ts';
import { Interrupted, type Worker } from '../state/tasks.ts';
import type { GuestConfig } from '../config/config-text.ts';
import { checkLock, isTemplate, loadGuest } from '../config/guest.ts';
import { applyAllPending, checkGenerated } from './update.ts';

/** How long a real node takes, in milliseconds. */
const starting = 1800;
const stopping = 1500;

/**
 * Starts a guest that may be started, under its lock.
 * @throws ApiError with the text that ends the task.
 */
export async function startGuest(
  state: ClusterState,
  ref: GuestRef,
  config: GuestConfig,
  log: (line: string) => void,
): Promise<void> {
  if (isTemplate(config)) throw fault(`you can't start a ${ref.kind.type === 'lxc' ? 'CT' : 'vm'} if it's a template`);
  await applyAllPending(state, ref);
  checkGenerated(state, ref);
  await state.pause(starting);
  try {
    await state.runtime.start(ref, loadGuest(state, ref), log);
  } catch (error) {
    throw fault(messageOf(error));
  }
}

/** The work of a start task. */
export function starter(state: ClusterState, ref: GuestRef, skipLock: boolean): (worker: Worker) => Promise<void> {
  return ({ signal, log }) =>
    state.locked(
      ref.kind,
      ref.vmid,
      async () => {
        const config = loadGuest(state, ref);
        if (!skipLock) checkLock(ref, config, 'mounted');
        if (state.runtime.running(ref) !== undefined) throw fault(`${ref.kind.label} ${ref.vmid} already running`);
        await startGuest(state, ref, config, log);
      },
      signal,
    );
}

/** Starts a guest as a task of its own, as create and rollback do, and waits for its end, whatever that is. */
export async function startNested(call: Call, ref: GuestRef): Promise<void> {
  const upid = call.fork(`${ref.kind.tasks}start`, String(ref.vmid), starter(call.state, ref, false));
  await call.state.tasks.ended(upid);
}

/** Ends a guest at once, or one that was asked before and is too `late`, and applies what waited for it. */
export async function endGuest(state: ClusterState, ref: GuestRef, late = false): Promise<void> {
  await state.runtime.stop(ref, late);
  await state.pause(stopping);
  await applyAllPending(state, ref);
}

/** Interrupts the shutdown tasks of a guest, as far as `who` may. */
export async function overruleShutdowns(state: ClusterState, ref: GuestRef, who: Identity): Promise<void> {
  const tasks = state.tasks
    .all()
    .filter(
      (task) => task.exit === undefined && task.type === `${ref.kind.tasks}shutdown` && task.id === String(ref.vmid),
    );
  const modifies = state.access.allows(who, `/nodes/${ref.node}`, ['Sys.Modify']);
  for (const task of tasks) if (modifies || task.user === nameOf(who)) await state.tasks.stop(task.upid);
}

/** The work of a stop task. */
export function stopper(
  state: ClusterState,
  ref: GuestRef,
  options: { skipLock: boolean; overrule: boolean; who: Identity },
): (worker: Worker) => Promise<void> {
  return async ({ signal }) => {
    if (options.overrule) await overruleShutdowns(state, ref, options.who);
    await state.locked(
      ref.kind,
      ref.vmid,
      async () => {
        const config = loadGuest(state, ref);
        const isRunning = state.runtime.running(ref) !== undefined;
        if (!isRunning && ref.kind.type === 'qemu') return;
        if (!options.skipLock) checkLock(ref, config, 'mounted');
        if (!isRunning) throw fault(`CT ${ref.vmid} not running`);
        await endGuest(state, ref);
      },
      signal,
    );
  };
}

/**
 * Asks a guest to end, for `timeout` seconds; with `force` it is ended then. Applies what waited for it.
 * @throws ApiError when it does not end; Interrupted when the task is stopped.
 */
export async function shutGuest(
  state: ClusterState,
  ref: GuestRef,
  options: { timeout: number; force: boolean },
  { log, signal }: Worker,
): Promise<void> {
  const ended = await state.runtime.shutdown(ref, options.timeout * 1000, signal, log);
  if (signal.aborted) {
    throw new Interrupted(
      ref.kind.type === 'lxc'
        ? `command 'lxc-stop -n ${ref.vmid} --nokill --timeout ${options.timeout}' failed: received interrupt`
        : 'received interrupt',
    );
  }
  if (!ended && !options.force) {
    throw fault(ref.kind.type === 'lxc' ? 'container did not stop' : 'VM quit/powerdown failed - got timeout');
  }
  if (!ended && ref.kind.type === 'qemu') log('VM still running - terminating now with SIGTERM');
  await endGuest(state, ref, !ended);
}

/** The work of a shutdown task: the timeout is in seconds. */
export function shutter(
  state: ClusterState,
  ref: GuestRef,
  options: { timeout: number; force: boolean },
): (worker: Worker) => Promise<void> {
  return (worker) =>
    state.locked(
      ref.kind,
      ref.vmid,
      () => {
        checkLock(ref, loadGuest(state, ref));
        return shutGuest(state, ref, options, worker);
      },
      worker.signal,
    );
}

/** The work of a reboot task. */
export function rebooter(state: ClusterState, ref: GuestRef, timeout: number): (worker: Worker) => Promise<void> {
  return (worker) =>
    state.locked(
      ref.kind,
      ref.vmid,
      async () => {
        checkLock(ref, loadGuest(state, ref), 'mounted');
        // A container that does not hear is ended, a machine is not.
        await shutGuest(state, ref, { timeout, force: ref.kind.type === 'lxc' }, worker);
        await startGuest(state, ref, loadGuest(state, ref), worker.log);
      },
      worker.signal,
    );
}
