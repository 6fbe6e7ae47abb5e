import type { PropertyFormat, ValueSchema } from '../schema/types.ts';
import type { ProxmoxRelease } from './model.ts';

const flag: ValueSchema = { type: 'boolean', optional: 1 };
const text = (rules: ValueSchema = {}): ValueSchema => ({ type: 'string', optional: 1, ...rules });
const integer = (minimum: number, maximum?: number): ValueSchema => ({
  type: 'integer',
  optional: 1,
  minimum,
  ...(maximum !== undefined && { maximum }),
});

const ID_MAP = '[ug]:[0-9]+:[0-9]+:[1-9][0-9]*';
const MOUNT_OPTION = '(?:discard|lazytime|noatime|nodev|noexec|nosuid)';

/** `features`. */
export const FEATURES: PropertyFormat = {
  force_rw_sys: flag,
  fuse: flag,
  keyctl: flag,
  mknod: flag,
  mount: text({ pattern: '[a-zA-Z0-9_; ]+' }),
  nesting: flag,
};

/** `devN`. */
export const DEVICE: PropertyFormat = {
  path: text({ default_key: 1, format: 'pve-lxc-dev-string' }),
  'deny-write': flag,
  gid: integer(0),
  mode: text({ pattern: '0[0-7]{3}' }),
  uid: integer(0),
};

/** `unusedN`. */
export const UNUSED: PropertyFormat = { volume: { type: 'string', default_key: 1, format: 'pve-volume-id' } };

/** `netN`. */
export function networkFormat(release: ProxmoxRelease): PropertyFormat {
  return {
    name: { type: 'string', pattern: '[-_.\\w\\d]+' },
    type: text({ enum: ['veth'] }),
    bridge: text({ pattern: '[-_.\\w\\d]+' }),
    firewall: flag,
    gw: text({ format: 'ipv4' }),
    gw6: text({ format: 'ipv6' }),
    hwaddr: text({ format: 'mac-addr' }),
    ip: text({ format: 'pve-ipv4-config' }),
    ip6: text({ format: 'pve-ipv6-config' }),
    link_down: flag,
    mtu: integer(64, 65_535),
    rate: { type: 'number', optional: 1 },
    tag: integer(1, 4094),
    trunks: text({ pattern: '\\d+(?:;\\d+)*' }),
    ...(release >= 9 && { 'host-managed': flag }),
  };
}

/** `rootfs`. */
export function rootfsFormat(release: ProxmoxRelease): PropertyFormat {
  return {
    volume: { type: 'string', default_key: 1, format: 'pve-lxc-mp-string' },
    acl: flag,
    mountoptions: text({ pattern: `${MOUNT_OPTION}(?:;${MOUNT_OPTION})*` }),
    quota: flag,
    replicate: flag,
    ro: flag,
    shared: flag,
    size: text({ format: 'disk-size' }),
    ...(release >= 9 && { idmap: text({ pattern: `passthrough|${ID_MAP}(?:;${ID_MAP})*` }) }),
  };
}

/** `mpN`. */
export function mountPointFormat(release: ProxmoxRelease): PropertyFormat {
  return {
    ...rootfsFormat(release),
    mp: { type: 'string', format: 'pve-lxc-mp-string' },
    backup: flag,
    ...(release >= 9 && { keepattrs: flag }),
  };
}
