import type { ErrorKind } from './zfs-error.ts';

interface Rule {
  kind: ErrorKind;
  pattern: RegExp;
}

/**
 * The words of `zfs` and `zpool` of OpenZFS 2.1 to 2.4 in the C locale (libzfs_util.c, libzfs_dataset.c, libzfs_mount.c,
 * libzfs_crypto.c, libzfs_sendrecv.c, zfs_main.c, zpool_main.c). The exit code says nothing: 1 or 255 for every failure, 2 for a
 * wrong command line. The first rule that matches counts: the precise ones stand before those whose words occur in others.
 */
const RULES: readonly Rule[] = [
  {
    kind: 'noZfs',
    pattern:
      /modules (are not loaded|cannot be auto-loaded)|\/dev\/zfs|initialize the libzfs library|zfs_version_kernel/i,
  },
  { kind: 'permission', pattern: /permission denied the zfs utilities|must be run as root/i },
  { kind: 'keyNotLoaded', pattern: /\bkeys? ((is )?not (currently )?|must be )loaded/i },
  { kind: 'suspended', pattern: /i\/o is currently suspended|pool is suspended|suspended due to/i },
  {
    kind: 'poolUnavailable',
    pattern:
      /pool is unavailable|devices? is currently unavailable|imported on a different host|pool export in progress/i,
  },
  { kind: 'readOnly', pattern: /(pool|dataset|devices?|file ?system) is read[- ]only|read-only file system/i },
  { kind: 'quota', pattern: /quota exceeded|size is less than current used or reserved space/i },
  { kind: 'full', pattern: /out of space|no space left|size is greater than available space/i },
  {
    kind: 'inUse',
    pattern:
      /has (dependent clones|children)|snapshot is cloned|clones of previous snapshots|it's being held|tag already exists/i,
  },
  { kind: 'mounted', pattern: /already mounted/i },
  { kind: 'notMounted', pattern: /not (currently )?mounted/i },
  {
    kind: 'diverged',
    pattern:
      /most recent snapshot|more recent snapshots|has been modified|must specify -F|must destroy it to overwrite|does not match incremental source/i,
  },
  { kind: 'busy', pattern: /\bis busy\b|\bpool busy\b/i },
  { kind: 'alreadyExists', pattern: /already exists|(pool|dataset|destination) .{0,9}exists/i },
  {
    kind: 'notFound',
    pattern: /does not\s+exist|no such (pool|dataset|parent|snapshot)|could not find any snapshots|no longer exists/i,
  },
  { kind: 'permission', pattern: /permission denied|operation not permitted|delegated administration/i },
  {
    kind: 'badStream',
    pattern: /invalid (backup )?stream|not a backup stream|failed to read from stream|checksum mismatch/i,
  },
  {
    kind: 'unsupported',
    pattern:
      /unsupported|not supported|not support|unrecognized command|invalid option|must be upgraded|must be power of 2 from|doesn't apply|not applicable|not a cloned filesystem|does not apply to pools/i,
  },
  {
    kind: 'invalid',
    pattern:
      /\binvalid\b|too long|exceeded|bad (property|numeric)|cannot be|must be|reserved|missing|within same pool|descendant/i,
  },
  { kind: 'io', pattern: /i\/o error|insufficient replicas|input\/output error/i },
];

/** The kind of a failure by its words, from which the names of datasets are left out. */
export function kindOf(words: string): ErrorKind {
  return RULES.find(({ pattern }) => pattern.test(words))?.kind ?? 'failed';
}

/** What an operator can do about it. `object`: a dataset, snapshot or pool; `pool`: its pool. */
export const REMEDIES: Readonly<Partial<Record<ErrorKind, (object: string, pool: string) => string>>> = {
  notFound: (_, pool) => `check the name, and with "zpool list" that the pool ${pool} is imported`,
  alreadyExists: (object) => `"zfs get all ${object}" shows what it is`,
  busy: (object) => `a process or mount uses it; find it with "grep ${object} /proc/*/mountinfo" and "fuser -vm"`,
  inUse: (object) =>
    `"zfs list -t all -o name,origin -r ${object}" shows its children, its snapshots' clones are elsewhere`,
  permission: (object) => `run as root, or delegate the permission with "zfs allow" on ${object}`,
  full: (_, pool) => `free space in the pool ${pool}, or add devices to it; "zfs list -o space" shows what uses it`,
  quota: (object) => `raise the quota of ${object}, or remove data from it`,
  suspended: (_, pool) => `"zpool status ${pool}" shows the device; when it is back: "zpool clear ${pool}"`,
  poolUnavailable: (_, pool) => `"zpool status ${pool}" shows what is missing; "zpool import ${pool}" imports it`,
  notImported: (_, pool) =>
    `"zpool import ${pool}" imports it; "zpool import" alone shows the pools whose devices are there`,
  readOnly: (object, pool) =>
    `import the pool ${pool} writable, or set "readonly=off" where "zfs get readonly ${object}" says`,
  keyNotLoaded: (object) => `load its key with "zfs load-key ${object}", or that of the dataset it inherits it from`,
  diverged: (object) => `it has changed since; roll it back, or choose another target than ${object}`,
  unsupported: () => 'compare "zfs version" with the documentation, and "zpool upgrade" with the pool',
  noZfs: () => 'install zfsutils-linux, and load the kernel modules with "modprobe zfs"',
  io: (_, pool) => `"zpool status -v ${pool}" shows the errors`,
};
