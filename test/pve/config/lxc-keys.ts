import * as formats from '../api/params/formats.ts';
import { family, flag, integer, oneOf, required, text, type Schema } from '../api/params/property.ts';
import { propertyString, type PropertyString } from '../api/params/property-string.ts';

const volumeOptions: Schema = {
  acl: flag,
  mountoptions: text({
    pattern: /(discard|lazytime|noatime|nodev|noexec|nosuid)(;(discard|lazytime|noatime|nodev|noexec|nosuid))*/,
  }),
  quota: flag,
  replicate: flag,
  ro: flag,
  shared: flag,
  size: text({ format: formats.diskSize }),
  idmap: text({ only: '9', pattern: /passthrough|[ug]:[0-9]+:[0-9]+:[1-9][0-9]*(?:;[ug]:[0-9]+:[0-9]+:[1-9][0-9]*)*/ }),
};

/** The root filesystem's property string. */
export const rootfs: PropertyString = { keys: { volume: required(text()), ...volumeOptions }, defaultKey: 'volume' };

/** A mount point's property string. */
export const mountPoint: PropertyString = {
  keys: { ...rootfs.keys, mp: required(text()), backup: flag, keepattrs: { ...flag, only: '9' } },
  defaultKey: 'volume',
};

/** A network interface's property string. */
export const network: PropertyString = {
  keys: {
    bridge: text({ pattern: /[-_.\w\d]+/ }),
    firewall: flag,
    gw: text({ format: formats.ipv4 }),
    gw6: text({ format: formats.ipv6 }),
    'host-managed': { ...flag, only: '9' },
    hwaddr: text({ format: formats.macAddress }),
    ip: text({ format: formats.addressConfig(4) }),
    ip6: text({ format: formats.addressConfig(6) }),
    link_down: flag,
    mtu: integer(64, 65535),
    name: required(text({ pattern: /[-_.\w\d]+/ })),
    rate: { type: 'number' },
    tag: integer(1, 4094),
    trunks: text({ pattern: /\d+(?:;\d+)*/ }),
    type: oneOf('veth'),
  },
};

const features: Schema = {
  force_rw_sys: flag,
  fuse: flag,
  keyctl: flag,
  mknod: flag,
  mount: text({ pattern: /[a-zA-Z0-9_; ]+/ }),
  nesting: flag,
};

const device: Schema = {
  'deny-write': flag,
  gid: integer(0),
  mode: text({ pattern: /0[0-7]{3}/ }),
  path: text({
    format: (value) => (value.startsWith('/dev/') ? undefined : `${value} has to be a path under /dev\n`),
  }),
  uid: integer(0),
};

// Text without control characters but the tabulator.
const printable = '[^\\x00-\\x08\\x0a-\\x1F\\x7F]';

/** The keys of a container's configuration. */
export const lxcKeys: Schema = {
  arch: oneOf('amd64', 'i386', 'arm64', 'armhf', 'riscv32', 'riscv64'),
  cmode: oneOf('shell', 'console', 'tty'),
  console: flag,
  cores: integer(1, 8192),
  cpulimit: { type: 'number', minimum: 0, maximum: 8192 },
  cpuunits: integer(0, 500000),
  debug: flag,
  description: text({ maxLength: 8192 }),
  entrypoint: text({ only: '9', pattern: new RegExp(`${printable}+`) }),
  env: text({ only: '9', pattern: new RegExp(`\\w+=${printable}*(?:\\0\\w+=${printable}*)*`) }),
  features: propertyString(features),
  hookscript: text({ format: formats.volumeId }),
  hostname: text({ maxLength: 255, format: formats.dnsName }),
  lock: oneOf(
    'backup',
    'create',
    'destroyed',
    'disk',
    'fstrim',
    'migrate',
    'mounted',
    'rollback',
    'snapshot',
    'snapshot-delete',
  ),
  memory: integer(16),
  nameserver: text(),
  onboot: flag,
  ostype: oneOf(
    'debian',
    'devuan',
    'ubuntu',
    'centos',
    'fedora',
    'opensuse',
    'archlinux',
    'alpine',
    'gentoo',
    'nixos',
    'unmanaged',
  ),
  protection: flag,
  rootfs: propertyString(rootfs.keys, 'volume'),
  searchdomain: text({ format: formats.listOf(formats.dnsName) }),
  startup: text(),
  swap: integer(0),
  tags: text({ format: formats.listOf(formats.tag) }),
  template: flag,
  timezone: text(),
  tty: integer(0, 6),
  unprivileged: flag,
  ...family('net', 32, propertyString(network.keys)),
  ...family('mp', 256, propertyString(mountPoint.keys, 'volume')),
  ...family('dev', 256, propertyString(device, 'path')),
  ...family('unused', 256, propertyString({ volume: required(text({ format: formats.volumeId })) }, 'volume')),
};

/** Whether the key names a volume of a container, in use. */
export function isLxcVolume(key: string): boolean {
  return key === 'rootfs' || /^mp\d+$/.test(key);
}
