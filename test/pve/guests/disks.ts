import { randomUUID } from 'node:crypto';
import { parsePropertyString, printPropertyString } from '../api/params/property-string.ts';
import { badParameters, fault, messageOf } from '../http/api-error.ts';
import type { ClusterState } from '../state/cluster-state.ts';
import type { GuestConfig, Section } from '../config/config-text.ts';
import type { Kind } from '../config/kind.ts';
import { parseSize, printSize } from '../config/sizes.ts';
import { without } from '../state/without.ts';

/** What a volume's value means. */
export type DiskSource =
  | { readonly kind: 'new'; readonly storage: string; readonly gibibytes: number }
  | { readonly kind: 'volume'; readonly volid: string; readonly storage: string }
  | { readonly kind: 'bind' }
  | { readonly kind: 'device' }
  | { readonly kind: 'none' };

const volumeKey = (kind: Kind): string => (kind.type === 'lxc' ? 'volume' : 'file');

/** What the volume of a parsed disk is. `standard` is the storage of a size alone. */
export function sourceOf(kind: Kind, disk: Readonly<Record<string, string>>, standard = 'local'): DiskSource {
  const volume = disk[volumeKey(kind)] ?? '';
  const [, storage, gibibytes] = /^(?:([a-z][a-z0-9\-_.]*[a-z0-9]):)?(\d+(?:\.\d+)?)$/i.exec(volume) ?? [];
  if (gibibytes !== undefined) return { kind: 'new', storage: storage ?? standard, gibibytes: Number(gibibytes) };
  if (volume === 'none' || volume === 'cdrom' || volume.endsWith(':cloudinit')) return { kind: 'none' };
  if (volume.startsWith('/dev/')) return { kind: 'device' };
  if (volume.startsWith('/')) return { kind: 'bind' };
  return { kind: 'volume', volid: volume, storage: volume.split(':')[0] ?? '' };
}

/** The disks of a configuration that are volumes, by key. */
export function volumesOf(
  kind: Kind,
  config: Pick<GuestConfig, 'current'>,
): { key: string; volid: string; disk: Record<string, string> }[] {
  return Object.entries(config.current.values)
    .filter(([key]) => kind.isVolume(key))
    .sort(([a], [b]) => (a === 'rootfs' ? -1 : b === 'rootfs' ? 1 : a < b ? -1 : 1))
    .flatMap(([key, value]) => {
      const disk = parsePropertyString(kind.volumeFormat(key), value);
      const source = sourceOf(kind, disk);
      // A medium in a drive is nobody's disk.
      return source.kind === 'volume' && disk['media'] !== 'cdrom' ? [{ key, volid: source.volid, disk }] : [];
    });
}

/** The mount points of a container that are directories or devices of the node, by key. */
export function mountsOf(kind: Kind, { values }: Section): { key: string; type: 'bind' | 'device' }[] {
  return Object.keys(values)
    .filter((key) => kind.isVolume(key))
    .sort()
    .flatMap((key) => {
      const { kind: type } = sourceOf(kind, parsePropertyString(kind.volumeFormat(key), values[key]!));
      return type === 'bind' || type === 'device' ? [{ key, type }] : [];
    });
}

/**
 * Checks that the storage exists, is there on the node and takes disks of the kind.
 * @throws ApiError
 */
export function checkStorage(state: ClusterState, node: string, kind: Kind, storage: string): void {
  const { content } = state.requireStorage(storage, node);
  if (kind.type === 'lxc' && !content.includes('rootdir')) {
    throw badParameters({ storage: `storage '${storage}' does not support container directories` });
  }
  if (kind.type === 'qemu' && !content.includes('images')) {
    throw fault(`storage '${storage}' does not support content-type 'images'`);
  }
}

function ext4Lines(bytes: number): string[] {
  // mke2fs takes small blocks below 512 MiB.
  const block = bytes < 512 * 1024 ** 2 ? 1024 : 4096;
  const [first, group] = block === 1024 ? [1, 8192] : [0, 32768];
  const blocks = bytes / block;
  const powers = [3, 5, 7].flatMap((base) => Array.from({ length: 12 }, (_, index) => base ** (index + 1)));
  const backups = [1, ...powers].sort((a, b) => a - b).map((number) => number * group + first);
  const inodes = bytes / (block === 1024 ? 4096 : 16384);
  return [
    `Creating filesystem with ${blocks} ${block / 1024}k blocks and ${inodes} inodes`,
    `Filesystem UUID: ${randomUUID()}`,
    'Superblock backups stored on blocks: ',
    `\t${backups.filter((number) => number < blocks).join(', ')}`,
  ];
}

/**
 * Allocates a disk of `bytes` for `vmid`; a container has a directory of no bytes, and a dataset of any on a pool.
 * @param log gets what the tools of a node print
 * @returns the volume's name.
 */
export async function allocateDisk(
  state: ClusterState,
  kind: Kind,
  vmid: number,
  { storage, bytes, format: wanted }: { storage: string; bytes: number; format?: string },
  log: (line: string) => void,
): Promise<string> {
  state.requireSpace(storage);
  const { type } = state.volumes.config(storage);
  const format = wanted ?? (kind.type === 'lxc' && (bytes === 0 || type === 'zfspool') ? 'subvol' : 'raw');
  const volid = await state.volumes.allocate(storage, { vmid, format, size: bytes });
  if (format === 'subvol') return volid;
  if (type === 'dir') {
    const preallocation = format === 'raw' ? ' preallocation=off' : '';
    log(`Formatting '${state.volumes.path(volid)}', fmt=${format} size=${bytes}${preallocation}`);
  }
  if (kind.type === 'lxc') for (const line of ext4Lines(bytes)) log(line);
  return volid;
}

/**
 * The value of a disk once its volume is there: a new one is allocated, others stay.
 * @returns the value for the configuration.
 */
export async function realizeDisk(
  state: ClusterState,
  kind: Kind,
  vmid: number,
  { key, value, standard }: { key: string; value: string; standard?: string },
  log: (line: string) => void,
): Promise<string> {
  const format = kind.volumeFormat(key);
  const disk = parsePropertyString(format, value);
  const source = sourceOf(kind, disk, standard);
  if (source.kind !== 'new') return value;
  const bytes = Math.round(source.gibibytes * 1024 ** 3);
  const wanted = kind.type === 'qemu' ? disk['format'] : undefined;
  const volid = await allocateDisk(
    state,
    kind,
    vmid,
    { storage: source.storage, bytes, ...(wanted === undefined ? {} : { format: wanted }) },
    log,
  );
  return printPropertyString(format, { ...without(disk, 'format'), [volumeKey(kind)]: volid, size: printSize(bytes) });
}

/** The bytes that a resize asks for: an absolute size, or what `+` adds. */
export function wantedSize(written: string, current: number): number {
  return written.startsWith('+') ? current + parseSize(written.slice(1)) : parseSize(written);
}

/** Frees the volumes of something that failed; what cannot be freed is left, with a line in the log. */
export async function freeAll(
  state: ClusterState,
  volids: readonly string[],
  log: (line: string) => void,
): Promise<void> {
  for (const volid of volids) await state.volumes.free(volid).catch((error: unknown) => log(messageOf(error)));
}

/** Keeps a volume that the configuration does not have any more as an unused disk, unless a key or a snapshot has it. */
export function keepUnused(kind: Kind, config: Pick<GuestConfig, 'current' | 'snapshots'>, volid: string): void {
  const { values } = config.current;
  const sections = [config.current, ...config.snapshots.values()];
  if (sections.some((current) => volumesOf(kind, { current }).some((disk) => disk.volid === volid))) return;
  if (Object.entries(values).some(([key, value]) => /^unused\d+$/.test(key) && value === volid)) return;
  let number = 0;
  while (values[`unused${number}`] !== undefined) number += 1;
  values[`unused${number}`] = volid;
}
