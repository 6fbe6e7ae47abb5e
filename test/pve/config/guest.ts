import { fault } from '../http/api-error.ts';
import { knownTo, type Release } from '../api/params/property.ts';
import type { ClusterState } from '../state/cluster-state.ts';
import type { GuestRef } from '../state/guest-files.ts';
import { parseMachine, printMachine, type GuestConfig } from '../config/config-text.ts';
import { parseContainer, printContainer } from './container-text.ts';
import type { Kind } from './kind.ts';

/** Keys that stand in a file though no request may set them. */
const inner: Record<Kind['type'], readonly string[]> = { lxc: [], qemu: ['meta', 'vmstate', 'runningmachine'] };

/** Reads a file as the node of `release` does: what it does not know is dropped. */
export function parseGuest(kind: Kind, text: string, release: Release): GuestConfig {
  if (kind.type === 'lxc') return parseContainer(text, release);
  return parseMachine(text, (key) => {
    const property = kind.keys[key];
    return property === undefined ? inner[kind.type].includes(key) : knownTo(property, release);
  });
}

/** Writes a file as the node of `release` does. */
export function printGuest(kind: Kind, config: Omit<GuestConfig, 'digest'>, release: Release): string {
  return kind.type === 'lxc' ? printContainer(config, release) : printMachine(config);
}

/**
 * The configuration of a guest on its node.
 * @throws ApiError when there is none, which is a 500.
 */
export function loadGuest(state: ClusterState, ref: GuestRef): GuestConfig {
  const text = state.guests.read(ref);
  if (text === undefined) {
    throw fault(`Configuration file 'nodes/${ref.node}/${ref.kind.directory}/${ref.vmid}.conf' does not exist`);
  }
  return parseGuest(ref.kind, text, state.release);
}

/** Writes a guest's configuration. */
export function saveGuest(state: ClusterState, ref: GuestRef, config: Omit<GuestConfig, 'digest'>): void {
  state.writeGuest(ref, printGuest(ref.kind, config, state.release));
}

/** @throws ApiError when the guest has a lock other than one of `but`. */
export function checkLock({ kind }: GuestRef, config: GuestConfig, ...but: string[]): void {
  const lock = config.current.values['lock'];
  if (lock !== undefined && !but.includes(lock)) throw fault(`${kind.label} is locked (${lock})`);
}

/** @throws ApiError when `digest` is given and not the file's. */
export function checkDigest(config: GuestConfig, digest: string): void {
  if (digest !== '' && digest !== config.digest) {
    throw fault('detected modified configuration - file changed by other user? Try again.');
  }
}

/** Whether the guest is a template. */
export function isTemplate(config: GuestConfig): boolean {
  return config.current.values['template'] === '1';
}

/** Sets or, without a value, removes the guest's lock. */
export function setLock(state: ClusterState, ref: GuestRef, lock: string | undefined): GuestConfig {
  const config = loadGuest(state, ref);
  if (lock === undefined) delete config.current.values['lock'];
  else config.current.values['lock'] = lock;
  saveGuest(state, ref, config);
  return config;
}

/** A value as answers have it: numbers for integers and booleans as far as it is one, otherwise text. */
export function answered(kind: Kind, key: string, value: string): string | number {
  const type = kind.keys[key]?.type ?? (key === 'snaptime' ? 'integer' : 'string');
  return (type === 'integer' || type === 'boolean') && /^\d+$/.test(value) ? Number(value) : value;
}
