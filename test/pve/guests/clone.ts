import { numberOf, textOf, type Call } from '../api/method.ts';
import { fault, messageOf } from '../http/api-error.ts';
import { printPropertyString } from '../api/params/property-string.ts';
import type { GuestRef } from '../state/guest-files.ts';
import type { Worker } from '../state/tasks.ts';
import { copySection, emptySection, type GuestConfig, type Section } from '../config/config-text.ts';
import { allocateDisk, checkStorage, freeAll, mountsOf, volumesOf } from './disks.ts';
import type { Feature } from '../storage/storage.ts';
import { checkLock, isTemplate, loadGuest, saveGuest, setLock, printGuest } from '../config/guest.ts';
import { withNewAddress } from '../config/values.ts';

// What rsync --stats prints; nothing is counted.
const copied = (bytes: number): string[] => [
  '',
  'Number of files: 0 (reg: 0, dir: 0, link: 0)',
  'Number of created files: 0 (reg: 0, dir: 0, link: 0)',
  'Number of deleted files: 0',
  'Number of regular files transferred: 0',
  `Total file size: ${bytes} bytes`,
  'Total transferred file size: 0 bytes',
  'Literal data: 0 bytes',
  'Matched data: 0 bytes',
  'File list size: 0',
  'File list generation time: 0.001 seconds',
  'File list transfer time: 0.000 seconds',
  'Total bytes sent: 0',
  'Total bytes received: 0',
  '',
  'sent 0 bytes  received 0 bytes  0.00 bytes/sec',
  `total size is ${bytes}  speedup is 1.00`,
];

function source(call: Call, ref: GuestRef): { section: Section; full: boolean } {
  const { state } = call;
  const config = loadGuest(state, ref);
  checkLock(ref, config);
  const snapshot = textOf(call, 'snapname');
  const section = snapshot === '' ? config.current : config.snapshots.get(snapshot);
  if (section === undefined) throw fault(`snapshot '${snapshot}' does not exist`);
  const full = call.params['full'] === undefined ? !isTemplate(config) : numberOf(call, 'full') === 1;
  if (!full && (!isTemplate(config) || textOf(call, 'storage') !== '')) {
    throw fault(
      isTemplate(config)
        ? "parameter 'storage' not allowed for linked clones"
        : 'parameter full: linked clones need a template',
    );
  }
  return { section, full };
}

function checkVolumes(call: Call, ref: GuestRef, section: Section, full: boolean): void {
  const { state } = call;
  const running = state.runtime.running(ref) !== undefined;
  // A container's keys are looked at by their names: mount points come first.
  const [other] = ref.kind.type === 'lxc' ? mountsOf(ref.kind, section) : [];
  if (other !== undefined) throw fault(`unable to clone mountpoint '${other.key}' (type ${other.type})`);
  if (full && running && ref.kind.type === 'lxc' && textOf(call, 'snapname') === '') {
    throw fault('Full clone of a running container is only possible from a snapshot');
  }
  const snapshot = textOf(call, 'snapname');
  for (const { key, volid } of volumesOf(ref.kind, { current: section })) {
    const options = { guest: ref.kind.type, ...(snapshot === '' ? {} : { snapshot }) };
    if (!full && !state.volumes.has('clone', volid, options)) {
      throw fault(
        ref.kind.type === 'lxc'
          ? `Linked clone feature for '${volid}' is not available`
          : `Linked clone feature is not supported for '${volid}' (${key})`,
      );
    }
    const storage = textOf(call, 'storage') || volid.split(':')[0]!;
    checkStorage(state, ref.node, ref.kind, storage);
    state.access.require(call.who, `/storage/${storage}`, ['Datastore.AllocateSpace']);
  }
}

function cloned(call: Call, ref: GuestRef, section: Section): Section {
  const copy = copySection(section);
  for (const key of Object.keys(copy.values)) {
    if (/^(?:template|lock|parent|snaptime|unused\d+)$/.test(key)) Reflect.deleteProperty(copy.values, key);
    else if (/^net\d+$/.test(key)) copy.values[key] = withNewAddress(ref.kind, copy.values[key]!);
  }
  const name = textOf(call, ref.kind.nameKey);
  if (name !== '') copy.values[ref.kind.nameKey] = name;
  if (textOf(call, 'description') !== '') copy.description = textOf(call, 'description');
  return copy;
}

/** Copies a disk into a new volume of the guest `newid`; returns its id. */
async function copyDisk(
  call: Call,
  { kind }: GuestRef,
  newid: number,
  volid: string,
  { log }: Worker,
): Promise<string> {
  const { state } = call;
  const storage = textOf(call, 'storage') || volid.split(':')[0]!;
  const snapshot = textOf(call, 'snapname');
  const original = await state.volumes.stat(volid);
  if (original === undefined) throw fault(`volume '${volid}' does not exist`);
  const { format, size } = original;
  // A machine's disk keeps its format on a storage that has such.
  const same = kind.type === 'qemu' && state.volumes.config(storage).type !== 'zfspool' ? { format } : {};
  const copy = await allocateDisk(state, kind, newid, { storage, bytes: size, ...same }, log);
  try {
    await state.pause(1000);
    await state.volumes.activateVolume(volid);
    const kept = snapshot === '' ? undefined : state.volumes.snapshotOf(volid, snapshot);
    const source = { file: state.volumes.file(volid), ...(kept === undefined ? {} : { snapshot: kept }) };
    await state.volumes.activateVolume(copy);
    await state.runtime.copy(source, state.volumes.file(copy));
  } catch (error) {
    await freeAll(state, [copy], log);
    throw error;
  }
  if (kind.type === 'lxc') for (const line of copied(size)) log(line);
  return copy;
}

/** Makes the disks of a clone in place of the original's, which `section` has; those that are made are in `made` also when one fails. */
async function cloneDisks(
  call: Call,
  ref: GuestRef,
  { newid, section, full, made }: { newid: number; section: Section; full: boolean; made: string[] },
  worker: Worker,
): Promise<void> {
  const { state } = call;
  const { kind } = ref;
  const name = kind.type === 'lxc' ? (full ? 'mountpoint' : 'mount point') : 'drive';
  for (const { key, volid, disk } of volumesOf(kind, { current: section })) {
    worker.log(`create ${full ? 'full' : 'linked'} clone of ${name} ${key} (${volid})`);
    const copy = full ? await copyDisk(call, ref, newid, volid, worker) : await state.volumes.clone(volid, newid);
    made.push(copy);
    const volume = kind.type === 'lxc' ? 'volume' : 'file';
    section.values[key] = printPropertyString(kind.volumeFormat(key), { ...disk, [volume]: copy });
  }
}

/**
 * Clones a guest under a new VMID: its disks are copied, or linked clones of a template's.
 * @returns the task's UPID
 * @throws ApiError
 */
export function cloneGuest(call: Call, ref: GuestRef): string {
  const { state } = call;
  const { kind, vmid } = ref;
  const newid = numberOf(call, 'newid');
  const pool = textOf(call, 'pool');
  const target = { kind, vmid: newid, node: textOf(call, 'target') || ref.node };
  state.requireQuorum();
  const { section, full } = source(call, ref);
  const owner = state.guests.find(newid);
  if (owner !== undefined) throw fault(`${owner.kind.label} ${newid} already exists on node '${owner.node}'`);
  checkVolumes(call, ref, section, full);
  const copy = cloned(call, ref, section);
  const placeholder = {
    current: { values: { lock: 'create' }, raw: [] },
    pending: emptySection(),
    snapshots: new Map<string, Section>(),
  };
  try {
    state.guests.create(target, printGuest(kind, placeholder, state.release));
  } catch (error) {
    throw fault(`unable to create ${kind.label} ${newid} - ${messageOf(error)}`);
  }
  // A container is locked while it is read; a machine is not.
  if (kind.type === 'lxc') setLock(state, ref, 'disk');
  if (pool !== '') state.store.pools[pool]?.vms.push(newid);
  return call.fork(`${kind.tasks}clone`, String(vmid), async (worker) => {
    const made: string[] = [];
    try {
      worker.log(`creating a clone of ${kind.type === 'lxc' ? 'container' : 'VM'} ${vmid} with ID ${newid}`);
      await cloneDisks(call, ref, { newid, section: copy, full, made }, worker);
      saveGuest(state, target, { current: copy, pending: emptySection(), snapshots: new Map() });
    } catch (error) {
      await freeAll(state, made, worker.log);
      state.guests.remove(target);
      throw fault(`clone failed: ${messageOf(error)}`);
    } finally {
      if (kind.type === 'lxc' && state.guests.read(ref) !== undefined) setLock(state, ref, undefined);
      state.save();
    }
  });
}

/**
 * Makes a template of a guest; the work goes on after this returned.
 * @returns the task's UPID
 * @throws ApiError
 */
export function makeTemplate(call: Call, ref: GuestRef): string {
  const { state } = call;
  const { kind, vmid } = ref;
  const check = (config: GuestConfig): void => {
    checkLock(ref, config);
    if (isTemplate(config)) throw fault("you can't convert a template to a template");
    if (config.snapshots.size > 0) {
      throw fault(`unable to create template, because ${kind.label} contains snapshots`);
    }
    if (state.runtime.running(ref) !== undefined) {
      throw fault(`you can't convert a ${kind.label} to template if the ${kind.label} is running`);
    }
  };
  check(loadGuest(state, ref));
  return call.fork(`${kind.tasks}template`, String(vmid), (worker) =>
    state.locked(
      kind,
      vmid,
      async () => {
        await state.pause(500);
        const config = loadGuest(state, ref);
        check(config);
        for (const { key, volid, disk } of volumesOf(kind, config)) {
          const volume = kind.type === 'lxc' ? 'volume' : 'file';
          const base = await state.volumes.makeBase(volid);
          config.current.values[key] = printPropertyString(kind.volumeFormat(key), { ...disk, [volume]: base });
        }
        config.current.values['template'] = '1';
        saveGuest(state, ref, config);
      },
      worker.signal,
    ),
  );
}

/** Whether the guest can have a snapshot, a linked clone or a copy made. */
export function hasFeature(call: Call, ref: GuestRef): number {
  const config = loadGuest(call.state, ref);
  const feature = textOf(call, 'feature');
  const snapshot = textOf(call, 'snapname');
  const section = snapshot === '' ? config.current : config.snapshots.get(snapshot);
  if (section === undefined) throw fault(`snapshot '${snapshot}' does not exist`);
  const options = { guest: ref.kind.type, ...(snapshot === '' ? {} : { snapshot }) };
  const disks = volumesOf(ref.kind, { current: section });
  return disks.every(({ volid }) => call.state.volumes.has(feature as Feature, volid, options)) ? 1 : 0;
}
