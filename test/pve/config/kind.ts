import type { Schema } from '../api/params/property.ts';
import type { PropertyString } from '../api/params/property-string.ts';
import { isLxcVolume, lxcKeys, mountPoint, network, rootfs } from './lxc-keys.ts';
import { card, drive, isQemuVolume, qemuKeys } from './qemu-keys.ts';

/** What differs between containers and virtual machines, for what is the same of both. */
export interface Kind {
  readonly type: 'lxc' | 'qemu';
  /** Directory of the configuration files, below the node's. */
  readonly directory: string;
  /** What messages call a guest. */
  readonly label: 'CT' | 'VM';
  /** What task types begin with. */
  readonly tasks: 'vz' | 'qm';
  readonly keys: Schema;
  /** The key of the guest's name. */
  readonly nameKey: 'hostname' | 'name';
  readonly isVolume: (key: string) => boolean;
  /** The property string of the volume under `key`. */
  readonly volumeFormat: (key: string) => PropertyString;
  readonly networkFormat: PropertyString;
  /** The lock file of a guest, as messages name it. */
  readonly lockFile: (vmid: number) => string;
}

/** Containers. */
export const lxc: Kind = {
  type: 'lxc',
  directory: 'lxc',
  label: 'CT',
  tasks: 'vz',
  keys: lxcKeys,
  nameKey: 'hostname',
  isVolume: isLxcVolume,
  volumeFormat: (key) => (key === 'rootfs' ? rootfs : mountPoint),
  networkFormat: network,
  lockFile: (vmid) => `/run/lock/lxc/pve-config-${vmid}.lock`,
};

/** Virtual machines. */
export const qemu: Kind = {
  type: 'qemu',
  directory: 'qemu-server',
  label: 'VM',
  tasks: 'qm',
  keys: qemuKeys,
  nameKey: 'name',
  isVolume: isQemuVolume,
  volumeFormat: () => drive,
  networkFormat: card,
  lockFile: (vmid) => `/var/lock/qemu-server/lock-${vmid}.conf`,
};

/** Both kinds. */
export const kinds: readonly Kind[] = [lxc, qemu];
