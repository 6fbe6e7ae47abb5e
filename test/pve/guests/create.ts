import { randomUUID } from 'node:crypto';
import { numberOf, textOf, type Call } from '../api/method.ts';
import { ApiError, fault, forbidden, messageOf } from '../http/api-error.ts';
import { parsePropertyString } from '../api/params/property-string.ts';
import { resourceOf } from '../ha/resource.ts';
import type { GuestRef } from '../state/guest-files.ts';
import type { Worker } from '../state/tasks.ts';
import { emptySection, type Section } from '../config/config-text.ts';
import { checkStorage, freeAll, realizeDisk, sourceOf } from './disks.ts';
import { printGuest, saveGuest } from '../config/guest.ts';
import type { Kind } from '../config/kind.ts';
import { startNested } from './lifecycle.ts';
import { checkModify } from './modify-permission.ts';
import { storedValue } from '../config/values.ts';
import { drivesOf } from '../qemu/command/disks/drives.ts';
import { without } from '../state/without.ts';

/** Parameters of a create that are no keys of the configuration. */
const apart = new Set([
  'node',
  'vmid',
  'ostemplate',
  'storage',
  'pool',
  'start',
  'force',
  'restore',
  'unique',
  'password',
  'ssh-public-keys',
  'bwlimit',
  'ignore-unpack-errors',
  'archive',
  'live-restore',
  'ha-managed',
  'import-working-storage',
]);

function checkAllocate({ state, who }: Call, vmid: number, pool: string): void {
  if (pool !== '' && state.store.pools[pool] === undefined) throw forbidden(`pool '${pool}' does not exist`);
  if (state.access.allows(who, `/vms/${vmid}`, ['VM.Allocate'])) return;
  if (pool !== '' && state.access.allows(who, `/pool/${pool}`, ['VM.Allocate'])) return;
  throw forbidden();
}

function checkArchive({ state, who, params }: Call): void {
  const template = String(params['ostemplate']);
  if (!/^[a-z][a-z0-9\-_.]*[a-z0-9]:.+/i.test(template)) throw fault(`unable to parse volume ID '${template}'`);
  const storage = template.split(':')[0]!;
  state.volumes.config(storage);
  state.access.require(
    who,
    `/storage/${storage}`,
    ['Datastore.Audit', 'Datastore.AllocateSpace', 'Datastore.AllocateTemplate', 'Datastore.Allocate'],
    true,
  );
}

/** The keys of the new configuration, as the request gives them. */
function wanted({ params }: Call): Record<string, string | number> {
  return Object.fromEntries(Object.entries(params).filter(([key]) => !apart.has(key)));
}

function checkDisks(call: Call, kind: Kind, set: Readonly<Record<string, string | number>>, standard: string): void {
  const { state, who, node } = call;
  const disks = Object.keys(set).filter((key) => kind.isVolume(key));
  const storages = disks.flatMap((key) => {
    const source = sourceOf(kind, parsePropertyString(kind.volumeFormat(key), String(set[key])), standard);
    return 'storage' in source ? [source.storage] : [];
  });
  if (kind.type === 'lxc' && set['rootfs'] === undefined) storages.push(standard);
  for (const storage of storages) {
    checkStorage(state, node, kind, storage);
    state.access.require(who, `/storage/${storage}`, ['Datastore.AllocateSpace']);
  }
}

/** What a container has without being asked for it. */
function containerDefaults(
  vmid: number,
  set: Readonly<Record<string, string | number>>,
  standard: string,
): Record<string, string | number> {
  const unprivileged = set['unprivileged'] ?? 1;
  return {
    hostname: `CT${vmid}`,
    memory: 512,
    swap: 512,
    rootfs: `${standard}:4`,
    ...without(set, 'unprivileged'),
    ...(unprivileged === 1 ? { unprivileged: 1 } : {}),
  };
}

/** What a machine boots from without being told: its first disk, CD-ROM and network. */
function bootDevices(set: Readonly<Record<string, string | number>>): string[] {
  const drives = drivesOf(Object.fromEntries(Object.entries(set).map(([key, value]) => [key, String(value)])));
  const networks = Array.from({ length: 32 }, (_, index) => `net${index}`);
  const first = [
    drives.find(({ cdrom }) => !cdrom)?.key,
    drives.find(({ cdrom }) => cdrom)?.key,
    networks.find((key) => set[key] !== undefined),
  ];
  return first.filter((key) => key !== undefined);
}

function machineDefaults(set: Readonly<Record<string, string | number>>): Record<string, string | number> {
  const devices = bootDevices(set);
  return {
    ...(devices.length === 0 ? {} : { boot: `order=${devices.join(';')}` }),
    smbios1: `uuid=${randomUUID()}`,
    vmgenid: randomUUID(),
    meta: `creation-qemu=10.0.2,ctime=${Math.floor(Date.now() / 1000)}`,
    ...set,
  };
}

async function unpack(call: Call, ref: GuestRef, section: Section, worker: Worker): Promise<void> {
  const { state } = call;
  const template = textOf(call, 'ostemplate');
  const path = state.volumes.path(template);
  if (!(await state.volumes.exists(template))) {
    throw fault(`volume '${template}' does not exist`);
  }
  worker.log(`extracting archive '${path}'`);
  state.requireSpace(template.split(':')[0]!);
  worker.log(await state.runtime.unpack(ref, { file: state.volumes.file(template), config: section }));
  if (section.values['ostype'] === undefined) {
    worker.log("/etc/os-release file not found and autodetection failed, falling back to 'unmanaged'");
    section.values['ostype'] = 'unmanaged';
  }
  if (section.values['arch'] === undefined) {
    worker.log('Falling back to amd64.');
    worker.log('Use `pct set VMID --arch ARCH` to change.');
    section.values['arch'] = 'amd64';
  }
}

async function build(
  call: Call,
  ref: GuestRef,
  set: Readonly<Record<string, string | number>>,
  worker: Worker,
): Promise<void> {
  const { state } = call;
  const section = emptySection();
  const made: string[] = [];
  try {
    for (const [key, value] of Object.entries(set)) {
      if (key === 'description') section.description = String(value);
      else if (ref.kind.isVolume(key)) {
        const realized = await realizeDisk(
          state,
          ref.kind,
          ref.vmid,
          { key, value: String(value), standard: textOf(call, 'storage') || 'local' },
          worker.log,
        );
        if (realized !== String(value)) made.push(realized.split(',')[0]!);
        section.values[key] = realized;
      } else section.values[key] = storedValue(ref.kind, key, value);
    }
    await state.pause(ref.kind.type === 'lxc' ? 3000 : 1000);
    if (ref.kind.type === 'lxc') await unpack(call, ref, section, worker);
    saveGuest(state, ref, { current: section, pending: emptySection(), snapshots: new Map() });
  } catch (error) {
    // A create that fails leaves neither disks nor a configuration.
    await state.runtime.forget(ref);
    await freeAll(state, made, worker.log);
    state.guests.remove(ref);
    removeFromPools(call, ref.vmid);
    throw fault(`unable to create ${ref.kind.label} ${ref.vmid} - ${messageOf(error)}`);
  }
}

function removeFromPools({ state }: Call, vmid: number): void {
  for (const pool of Object.values(state.store.pools)) pool.vms = pool.vms.filter((member) => member !== vmid);
}

/**
 * Creates a guest: checks at once, reserves the VMID by the file, and lets a task do the rest.
 * @returns the task's UPID
 * @throws ApiError
 */
export async function createGuest(call: Call, kind: Kind): Promise<string> {
  const { state, node, who } = call;
  const vmid = numberOf(call, 'vmid');
  const pool = textOf(call, 'pool');
  const ref = { node, kind, vmid };
  state.requireQuorum();
  if (numberOf(call, 'restore') === 1 || textOf(call, 'archive') !== '') {
    throw new ApiError(501, 'restoring from an archive is not part of the simulated node');
  }
  const owner = state.guests.find(vmid);
  if (owner !== undefined) throw fault(`${owner.kind.label} ${vmid} already exists on node '${owner.node}'`);
  checkAllocate(call, vmid, pool);
  const set = wanted(call);
  const privileged = kind.type === 'lxc' && set['unprivileged'] === 0;
  if (privileged && state.nine) state.access.require(who, '/', ['Sys.Modify']);
  const checked = without(set, 'unprivileged');
  checkModify(state, { who, node, kind, vmid, set: checked, remove: [], privileged, ...(pool === '' ? {} : { pool }) });
  if (kind.type === 'lxc') checkArchive(call);
  const standard = textOf(call, 'storage') || 'local';
  checkDisks(call, kind, set, standard);
  const whole = kind.type === 'lxc' ? containerDefaults(vmid, set, standard) : machineDefaults(set);
  // Between the checks and the reservation others get their turn: who is second finds the VMID taken.
  await new Promise(setImmediate);
  try {
    state.guests.create(
      ref,
      printGuest(
        kind,
        { current: { values: { lock: 'create' }, raw: [] }, pending: emptySection(), snapshots: new Map() },
        state.release,
      ),
    );
  } catch (error) {
    throw fault(`unable to create ${kind.label} ${vmid} - ${messageOf(error)}`);
  }
  if (pool !== '') state.store.pools[pool]!.vms.push(vmid);
  return call.fork(`${kind.tasks}create`, String(vmid), async (worker) => {
    await state.locked(kind, vmid, () => build(call, ref, whole, worker), worker.signal);
    if (numberOf(call, 'ha-managed') === 1) state.store.ha[resourceOf({ kind, vmid })] = { state: 'started' };
    if (numberOf(call, 'start') === 1) await startNested(call, ref);
    state.save();
  });
}
