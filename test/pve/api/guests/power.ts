import { fault } from '../../http/api-error.ts';
import { flag, integer, text, type Schema } from '../params/property.ts';
import type { Kind } from '../../config/kind.ts';
import { loadGuest } from '../../config/guest.ts';
import { resourceOf } from '../../ha/resource.ts';
import { rebooter, shutter, starter, stopper } from '../../guests/lifecycle.ts';
import { isPaused, resetMachine, resumeMachine, suspendMachine } from '../../guests/machine.ts';
import type { GuestRef } from '../../state/guest-files.ts';
import { numberOf, type Call, type Method } from '../method.ts';
import { guestOf, guestPath, onGuest, requireRootFor } from './common.ts';

function isRunning({ state }: Call, ref: GuestRef): boolean {
  return state.runtime.running(ref) !== undefined;
}

/** Whether the HA manager starts and ends the guest: a request to do so only changes what it is to be. */
function isManaged({ state }: Call, ref: GuestRef): boolean {
  return (state.store.ha[resourceOf(ref)]?.['state'] ?? 'ignored') !== 'ignored';
}

/** Has the HA manager start or end the guest. @returns the task's UPID. */
function request(call: Call, ref: GuestRef, what: 'start' | 'stop'): string {
  return call.fork(`ha${what}`, String(ref.vmid), async ({ log }) => {
    log(`Requesting HA ${what} for ${ref.kind.label} ${ref.vmid}`);
    Object.assign(call.state.store.ha[resourceOf(ref)] ?? {}, { state: what === 'start' ? 'started' : 'stopped' });
    call.state.save();
  });
}

function start(call: Call, ref: GuestRef): string {
  const { kind, vmid } = ref;
  requireRootFor(call, 'skiplock');
  // Whether a machine runs is looked at by the task alone.
  if (kind.type === 'lxc' && isRunning(call, ref)) throw fault(`CT ${vmid} already running`);
  call.state.requireQuorum();
  if (isManaged(call, ref)) return request(call, ref, 'start');
  return call.fork(`${kind.tasks}start`, String(vmid), starter(call.state, ref, numberOf(call, 'skiplock') === 1));
}

function stop(call: Call, ref: GuestRef): string {
  const { kind, vmid } = ref;
  requireRootFor(call, 'skiplock');
  if (kind.type === 'lxc' && !isRunning(call, ref)) throw fault(`CT ${vmid} not running`);
  if (isManaged(call, ref)) return request(call, ref, 'stop');
  const options = {
    skipLock: numberOf(call, 'skiplock') === 1,
    overrule: numberOf(call, 'overrule-shutdown') === 1,
    who: call.who,
  };
  return call.fork(`${kind.tasks}stop`, String(vmid), stopper(call.state, ref, options));
}

async function shutdown(call: Call, ref: GuestRef): Promise<string> {
  const { kind, vmid } = ref;
  requireRootFor(call, 'skiplock');
  const force = numberOf(call, 'forceStop') === 1;
  if (kind.type === 'qemu' && (await isPaused(call.state, ref))) {
    if (!force) throw fault('VM is paused - cannot shutdown');
    return call.fork('qmshutdown', String(vmid), async (worker) => {
      worker.log('VM is paused - stop instead of shutdown');
      await stopper(call.state, ref, { skipLock: false, overrule: false, who: call.who })(worker);
    });
  }
  if (!isRunning(call, ref)) {
    if (kind.type === 'lxc') throw fault(`CT ${vmid} not running`);
    loadGuest(call.state, ref);
  }
  if (isManaged(call, ref)) return request(call, ref, 'stop');
  const options = { timeout: Number(call.params['timeout'] ?? 60), force };
  return call.fork(`${kind.tasks}shutdown`, String(vmid), async (worker) => {
    if (isRunning(call, ref)) await shutter(call.state, ref, options)(worker);
  });
}

async function reboot(call: Call, ref: GuestRef): Promise<string> {
  const { kind, vmid } = ref;
  if (kind.type === 'qemu' && (await isPaused(call.state, ref))) throw fault('VM is paused - cannot shutdown');
  if (!isRunning(call, ref)) throw fault(`VM ${vmid} not running`);
  return call.fork(
    `${kind.tasks}reboot`,
    String(vmid),
    rebooter(call.state, ref, Number(call.params['timeout'] ?? 60)),
  );
}

function suspend(call: Call, ref: GuestRef): string {
  const { kind, vmid } = ref;
  if (!isRunning(call, ref)) throw fault(`${kind.label} ${vmid} not running`);
  return call.fork(`${kind.tasks}suspend`, String(vmid), async ({ log, signal }) => {
    if (kind.type === 'qemu') {
      if (numberOf(call, 'todisk') === 1) throw fault('suspending to disk is not part of the simulated node');
      await call.state.locked(kind, vmid, () => suspendMachine(call.state, ref), signal);
      return;
    }
    log(
      `lxc-checkpoint: ${vmid}: ../src/lxc/criu.c: criu_version_ok: 762 No such file or directory - execing criu failed, is it installed?`,
    );
    log(`lxc-checkpoint: ${vmid}: ../src/lxc/tools/lxc_checkpoint.c: checkpoint: 182 Checkpointing ${vmid} failed`);
    throw fault(`command 'lxc-checkpoint -n ${vmid} -s -D /var/lib/vz/dump' failed: exit code 1`);
  });
}

function resume(call: Call, ref: GuestRef): string {
  const { kind, vmid } = ref;
  if (kind.type === 'lxc' && isRunning(call, ref)) throw fault(`CT ${vmid} already running`);
  return call.fork(`${kind.tasks}resume`, String(vmid), async ({ signal }) => {
    loadGuest(call.state, ref);
    if (kind.type === 'lxc')
      throw fault(`command 'lxc-checkpoint -r -n ${vmid} -D /var/lib/vz/dump' failed: exit code 1`);
    if (!isRunning(call, ref)) throw fault(`VM ${vmid} not running`);
    await call.state.locked(kind, vmid, () => resumeMachine(call.state, ref), signal);
  });
}

function reset(call: Call, ref: GuestRef): string {
  requireRootFor(call, 'skiplock');
  if (!isRunning(call, ref)) throw fault(`VM ${ref.vmid} not running`);
  return call.fork('qmreset', String(ref.vmid), ({ signal }) =>
    call.state.locked(ref.kind, ref.vmid, () => resetMachine(call.state, ref), signal),
  );
}

interface Action {
  readonly run: (call: Call, ref: GuestRef) => string | Promise<string>;
  readonly parameters: Record<Kind['type'], Schema>;
}

const machineStart: Schema = {
  'force-cpu': text(),
  machine: text(),
  migratedfrom: text(),
  migration_network: text(),
  migration_type: text(),
  'nets-host-mtu': text(),
  skiplock: flag,
  stateuri: text({ maxLength: 128 }),
  targetstorage: text(),
  timeout: integer(0),
  'with-conntrack-state': { ...flag, only: '9' },
};

const actions: Record<string, Action> = {
  start: { run: start, parameters: { lxc: { skiplock: flag, debug: flag }, qemu: machineStart } },
  stop: {
    run: stop,
    parameters: {
      lxc: { skiplock: flag, 'overrule-shutdown': flag },
      qemu: { skiplock: flag, 'overrule-shutdown': flag, keepActive: flag, migratedfrom: text(), timeout: integer(0) },
    },
  },
  shutdown: {
    run: shutdown,
    parameters: {
      lxc: { timeout: integer(0), forceStop: flag },
      qemu: { timeout: integer(0), forceStop: flag, keepActive: flag, skiplock: flag },
    },
  },
  reboot: { run: reboot, parameters: { lxc: { timeout: integer(0) }, qemu: { timeout: integer(0) } } },
  suspend: { run: suspend, parameters: { lxc: {}, qemu: { skiplock: flag, todisk: flag, statestorage: text() } } },
  resume: { run: resume, parameters: { lxc: {}, qemu: { skiplock: flag, nocheck: flag } } },
};

/** Starting and ending guests. */
export function powerMethods(kind: Kind): Method[] {
  const all: Record<string, Action> = {
    ...actions,
    ...(kind.type === 'qemu' ? { reset: { run: reset, parameters: { lxc: {}, qemu: { skiplock: flag } } } } : {}),
  };
  const index: Method = {
    verb: 'GET',
    path: guestPath(kind, '/status'),
    permission: 'all',
    handle: () =>
      (kind.type === 'lxc'
        ? ['current', 'start', 'stop', 'shutdown', 'reboot', 'migrate']
        : ['current', 'start', 'stop', 'reset', 'shutdown', 'suspend', 'reboot']
      ).map((subdir) => ({ subdir })),
  };
  return [
    index,
    ...Object.entries(all).map(([name, { run, parameters }]): Method => ({
      verb: 'POST',
      path: guestPath(kind, `/status/${name}`),
      permission: onGuest('VM.PowerMgmt'),
      protected: true,
      parameters: parameters[kind.type],
      handle: (call) => run(call, guestOf(call, kind)),
    })),
  ];
}
