import { numberOf, textOf, type Call } from '../api/method.ts';
import { fault, messageOf } from '../http/api-error.ts';
import { printPropertyString } from '../api/params/property-string.ts';
import type { GuestRef } from '../state/guest-files.ts';
import type { Worker } from '../state/tasks.ts';
import { copySection, emptySection, type GuestConfig, type Section } from '../config/config-text.ts';
import { allocateDisk, checkStorage, volumesOf } from './disks.ts';
import { checkLock, isTemplate, loadGuest, saveGuest, setLock, printGuest } from '../config/guest.ts';
import { canSnapshot } from './snapshots.ts';
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
  if (full && running && ref.kind.type === 'lxc' && textOf(call, 'snapname') === '') {
    throw fault('Full clone of a running container is only possible from a snapshot');
  }
  for (const { volid } of volumesOf(ref.kind, { current: section })) {
    if (!full) throw fault(`Linked clone feature for '${volid}' is not available`);
    const storage = textOf(call, 'storage') || volid.split(':')[0]!;
    checkStorage(state, ref.kind, storage);
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

async function copyDisks(call: Call, ref: GuestRef, newid: number, section: Section, { log }: Worker): Promise<void> {
  const { state } = call;
  const { kind } = ref;
  for (const { key, volid, disk } of volumesOf(kind, { current: section })) {
    const storage = textOf(call, 'storage') || volid.split(':')[0]!;
    log(
      kind.type === 'lxc'
        ? `create full clone of mountpoint ${key} (${volid})`
        : `create full clone of drive ${key} (${volid})`,
    );
    const original = state.volumes.stat(volid);
    if (original === undefined) throw fault(`clone failed: volume '${volid}' does not exist`);
    const { format, size } = original;
    const copy = allocateDisk(
      state,
      kind,
      newid,
      { storage, bytes: size, format: kind.type === 'lxc' && format !== 'subvol' ? 'raw' : format },
      log,
    );
    await state.pause(1000);
    await state.runtime.copy(state.volumes.file(volid), state.volumes.file(copy));
    if (kind.type === 'lxc') for (const line of copied(size)) log(line);
    const volume = kind.type === 'lxc' ? 'volume' : 'file';
    section.values[key] = printPropertyString(kind.volumeFormat(key), { ...disk, [volume]: copy });
  }
}

/**
 * Clones a guest under a new VMID; on directory storages only a full copy is possible.
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
    try {
      worker.log(`creating a clone of ${kind.type === 'lxc' ? 'container' : 'VM'} ${vmid} with ID ${newid}`);
      await copyDisks(call, ref, newid, copy, worker);
      saveGuest(state, target, { current: copy, pending: emptySection(), snapshots: new Map() });
    } catch (error) {
      for (const { volid } of volumesOf(kind, { current: copy }))
        if (volid.includes(`:${newid}/`)) state.volumes.free(volid);
      state.guests.remove(target);
      throw error;
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
          const name = volid.replace(/^.*\//, '').replace(/^vm-/, 'base-');
          const volume = kind.type === 'lxc' ? 'volume' : 'file';
          if (!state.volumes.exists(volid)) throw fault(`volume '${volid}' does not exist`);
          config.current.values[key] = printPropertyString(kind.volumeFormat(key), {
            ...disk,
            [volume]: state.volumes.rename(volid, name),
          });
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
  if (feature === 'copy') return 1;
  return feature === 'snapshot' && canSnapshot(call.state, ref, config) ? 1 : 0;
}
