import { badParameters, fault, messageOf } from '../http/api-error.ts';
import { parsePropertyString } from '../api/params/property-string.ts';
import { elements } from '../api/params/formats.ts';
import type { ClusterState } from '../state/cluster-state.ts';
import type { GuestRef } from '../state/guest-files.ts';
import { copySection, emptySection, type GuestConfig, type Section } from '../config/config-text.ts';
import { realizeDisk, sourceOf } from './disks.ts';
import { checkDigest, checkLock, loadGuest, saveGuest } from '../config/guest.ts';
import { storedValue } from '../config/values.ts';

/** What a request wants of a guest's configuration. */
export interface Update {
  readonly set: Readonly<Record<string, string | number>>;
  readonly remove: readonly string[];
  readonly revert: readonly string[];
  readonly digest: string;
}

const needed: Record<'lxc' | 'qemu', readonly string[]> = { lxc: ['memory', 'rootfs', 'ostype'], qemu: [] };

// What a running container takes at once; the rest waits for its stop.
const hotContainer =
  /^(?:description|onboot|startup|protection|hostname|hookscript|cores|tags|lock|cpulimit|cpuunits|memory|swap|net\d+|template)$/;
const hotMachine =
  /^(?:description|name|onboot|startup|protection|hookscript|tags|lock|template|net\d+|(?:ide|sata|scsi|virtio)\d+|shares|vmstatestorage|cpulimit|cpuunits)$/;

function isHot(state: ClusterState, ref: GuestRef, config: GuestConfig, key: string): boolean {
  const isNew = config.current.values[key] === undefined;
  const fits =
    ref.kind.type === 'qemu' ? hotMachine.test(key) : hotContainer.test(key) || (/^(?:mp|dev)\d+$/.test(key) && isNew);
  return fits && state.runtime.takes(ref, key, config);
}

function bridgeError(state: ClusterState, { kind }: GuestRef, value: string): string | undefined {
  const { bridge } = parsePropertyString(kind.networkFormat, value);
  if (bridge === undefined || state.bridges.includes(bridge) || bridge in state.store.vnets) return undefined;
  return `bridge '${bridge}' does not exist`;
}

/** Frees or keeps as unused the volume of a disk that leaves the configuration. */
async function dropDisk(
  state: ClusterState,
  { kind, vmid }: GuestRef,
  { current }: GuestConfig,
  key: string,
): Promise<void> {
  const value = current.values[key];
  if (value === undefined) return;
  if (/^unused\d+$/.test(key)) {
    await state.volumes.free(value);
    return;
  }
  if (!kind.isVolume(key)) return;
  const source = sourceOf(kind, parsePropertyString(kind.volumeFormat(key), value));
  if (source.kind !== 'volume' || state.volumes.owner(source.volid) !== vmid) return;
  let number = 0;
  while (current.values[`unused${number}`] !== undefined) number += 1;
  current.values[`unused${number}`] = source.volid;
}

async function set(state: ClusterState, ref: GuestRef, config: GuestConfig, key: string, value: string): Promise<void> {
  if (key === 'description') {
    config.current.description = value;
    return;
  }
  if (!ref.kind.isVolume(key)) {
    config.current.values[key] = value;
    return;
  }
  const realized = await realizeDisk(state, ref.kind, ref.vmid, { key, value }, () => undefined);
  const [before, after] = [config.current.values[key], realized].map((text) => text?.split(',')[0]);
  if (before !== after) await dropDisk(state, ref, config, key);
  config.current.values[key] = realized;
}

async function remove(state: ClusterState, ref: GuestRef, config: GuestConfig, key: string): Promise<void> {
  await dropDisk(state, ref, config, key);
  if (key === 'description') delete config.current.description;
  Reflect.deleteProperty(config.current.values, key);
}

/** Applies the changes that wait, of the keys that `wanted` says; what fails stays waiting and is returned by key. */
async function applyPending(
  state: ClusterState,
  ref: GuestRef,
  config: GuestConfig,
  wanted: (key: string) => boolean,
  checkBridges: boolean,
): Promise<Record<string, string>> {
  const { pending } = config;
  const errors: Record<string, string> = {};
  const removals = elements(pending.values['delete']);
  for (const key of removals.filter(wanted)) await remove(state, ref, config, key);
  const left = removals.filter((key) => !wanted(key));
  if (left.length > 0) pending.values['delete'] = left.join(',');
  else delete pending.values['delete'];
  for (const [key, value] of Object.entries(pending.values)) {
    if (key === 'delete' || !wanted(key)) continue;
    const error = checkBridges && /^net\d+$/.test(key) ? bridgeError(state, ref, value) : undefined;
    if (error === undefined) await set(state, ref, config, key, value);
    else errors[key] = `unable to hotplug ${key}: ${error}\n`;
    Reflect.deleteProperty(pending.values, key);
  }
  if (pending.description !== undefined && wanted('description')) {
    config.current.description = pending.description;
    delete pending.description;
  }
  return errors;
}

/** Applies every change that waits for the guest to stop. */
export async function applyAllPending(state: ClusterState, ref: GuestRef): Promise<void> {
  const config = loadGuest(state, ref);
  await applyPending(state, ref, config, () => true, false);
  config.pending = emptySection();
  saveGuest(state, ref, config);
}

/** Applies what waited for the stop of a guest that ended by itself. */
export async function applyAfterEnd(state: ClusterState, ref: GuestRef): Promise<void> {
  if (state.guests.read(ref) === undefined) return;
  const { pending } = loadGuest(state, ref);
  if (Object.keys(pending.values).length > 0 || pending.description !== undefined) await applyAllPending(state, ref);
}

/**
 * What generating the container's LXC configuration would refuse; the node finds it after the file is written.
 * @throws ApiError
 */
export function checkGenerated(state: ClusterState, ref: GuestRef): void {
  if (ref.kind.type !== 'lxc') return;
  const { values } = loadGuest(state, ref).current;
  if (values['arch'] === undefined)
    throw fault("missing 'arch' - internal error at /usr/share/perl5/PVE/LXC.pm line 729.");
  for (const [key, value] of Object.entries(values)) {
    const error = /^net\d+$/.test(key) ? bridgeError(state, ref, value) : undefined;
    if (error !== undefined) throw fault(error);
  }
  try {
    state.runtime.generate(ref, loadGuest(state, ref));
  } catch (error) {
    throw fault(messageOf(error));
  }
}

/** A volume that its guest did not give back is not unused. */
function keepDisk({ current }: GuestConfig, value = ''): void {
  const [unused] =
    Object.entries(current.values).find(([key, volid]) => key.startsWith('unused') && volid === value.split(',')[0]) ??
    [];
  if (unused !== undefined) Reflect.deleteProperty(current.values, unused);
}

/** Gives a running guest what was changed; a value that it does not take waits for its stop. */
async function plug(
  state: ClusterState,
  ref: GuestRef,
  config: GuestConfig,
  before: Section,
): Promise<Record<string, string>> {
  const failed = await state.runtime.change(ref, before, config);
  for (const key of Object.keys(failed)) {
    const value = config.current.values[key];
    if (value !== undefined) config.pending.values[key] = value;
    else config.pending.values['delete'] = [...elements(config.pending.values['delete']), key].join(',');
    keepDisk(config, before.values[key]);
    if (before.values[key] === undefined) Reflect.deleteProperty(config.current.values, key);
    else config.current.values[key] = before.values[key];
  }
  const said = (key: string): string => (ref.kind.type === 'lxc' ? `unable to hotplug ${key}:` : 'hotplug problem -');
  return Object.fromEntries(Object.entries(failed).map(([key, why]) => [key, `${said(key)} ${why}\n`]));
}

function checkKeys({ kind }: GuestRef, { set: given, remove: removals }: Update): void {
  for (const key of removals) {
    if (given[key] !== undefined) {
      throw badParameters({ delete: `you can't use '-${key}' and '-delete ${key}' at the same time` });
    }
    if (needed[kind.type].includes(key)) throw fault(`unable to delete required option '${key}'`);
    if (key === 'unprivileged') throw fault(`unable to delete read-only option: '${key}'`);
  }
  if (kind.type === 'lxc' && given['unprivileged'] !== undefined) {
    throw fault("unable to modify read-only option: 'unprivileged'");
  }
}

/**
 * Changes a guest's configuration, as PUT config does: at once what can be, the rest when the guest stops.
 * @throws ApiError; the file may have been written all the same.
 */
export async function updateGuest(state: ClusterState, ref: GuestRef, update: Update): Promise<void> {
  const { kind } = ref;
  await state.locked(kind, ref.vmid, async () => {
    const config = loadGuest(state, ref);
    checkLock(ref, config);
    checkDigest(config, update.digest);
    checkKeys(ref, update);
    const { pending } = config;
    const removals = new Set(elements(pending.values['delete']));
    for (const key of update.revert) {
      Reflect.deleteProperty(pending.values, key);
      removals.delete(key);
    }
    for (const key of update.remove) removals.add(key);
    for (const [key, value] of Object.entries(update.set)) {
      removals.delete(key);
      if (key === 'description') pending.description = String(value);
      else pending.values[key] = storedValue(kind, key, value);
    }
    delete pending.values['delete'];
    if (removals.size > 0) pending.values['delete'] = [...removals].join(',');
    const running = state.runtime.running(ref) !== undefined;
    const before = copySection(config.current);
    // Of a running machine, what waited before goes on waiting.
    const asked = new Set([...update.remove, ...Object.keys(update.set)]);
    const isTried = (key: string): boolean => kind.type === 'lxc' || asked.has(key);
    let errors: Record<string, string>;
    try {
      errors = await applyPending(
        state,
        ref,
        config,
        (key) => !running || (isTried(key) && isHot(state, ref, config, key)),
        running && kind.type === 'lxc',
      );
      if (running) Object.assign(errors, await plug(state, ref, config, before));
    } catch (error) {
      throw fault(messageOf(error));
    }
    saveGuest(state, ref, config);
    if (Object.keys(errors).length > 0) throw badParameters(errors);
    checkGenerated(state, ref);
  });
}
