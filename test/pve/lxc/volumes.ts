import { chownSync, closeSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { parsePropertyString } from '../api/params/property-string.ts';
import type { Section } from '../config/config-text.ts';
import { lxc } from '../config/kind.ts';
import { sourceOf } from '../guests/disks.ts';
import type { Volumes } from '../state/volumes.ts';
import type { Ids } from './ids.ts';
import { tool } from './machine/tool.ts';

/** One mount of a container, as a line of its file `mounts` has it. */
export interface Mount {
  readonly kind: 'bind' | 'image';
  /** On this machine. */
  readonly source: string;
  /** In the container. */
  readonly target: string;
  readonly options: readonly string[];
}

/** Mount options that a bind mount has of its own. */
const OF_BINDS = new Set(['noatime', 'nodev', 'noexec', 'nosuid']);

function mountOf(disk: Readonly<Record<string, string>>, volumes: Volumes): Mount {
  const source = sourceOf(lxc, disk);
  const options = [...(disk['ro'] === '1' ? ['ro'] : []), ...(disk['mountoptions']?.split(';') ?? [])];
  const target = disk['mp'] ?? '/';
  const bind = (path: string): Mount => ({
    kind: 'bind',
    source: path,
    target,
    options: ['bind', ...options.filter((option) => option === 'ro' || OF_BINDS.has(option))],
  });
  if (source.kind === 'bind') return bind(disk['volume']!);
  if (source.kind !== 'volume')
    return { kind: 'image', source: disk['volume']!, target, options: ['defaults', ...options] };
  const file = volumes.file(source.volid);
  const status = statSync(file, { throwIfNoEntry: false });
  if (status === undefined) throw new Error(`volume '${source.volid}' does not exist`);
  if (status.isDirectory()) return bind(file);
  const base = /\/base-[^/]*$/.test(file) ? ['ro', 'noload'] : [];
  const how = status.isBlockDevice() ? 'defaults' : 'loop';
  return { kind: 'image', source: file, target, options: [how, ...base, ...options] };
}

/**
 * The mounts of a container, its root first.
 * @throws Error when a volume does not exist.
 */
export function mountsOf({ values }: Section, volumes: Volumes): Mount[] {
  const keys = Object.keys(values).filter((key) => key === 'rootfs' || /^mp\d+$/.test(key));
  const number = (key: string): number => (key === 'rootfs' ? -1 : Number(key.slice(2)));
  keys.sort((a, b) => number(a) - number(b));
  return keys.map((key) => mountOf(parsePropertyString(lxc.volumeFormat(key), values[key]!), volumes));
}

/** The size of the ext4 file system in an image, in bytes; undefined when there is none. */
function ext4Size(file: string): number | undefined {
  const block = Buffer.alloc(64);
  const descriptor = openSync(file, 'r');
  try {
    readSync(descriptor, block, 0, block.length, 1024);
  } finally {
    closeSync(descriptor);
  }
  // The superblock: number of blocks, size of a block, magic number.
  return block.readUInt16LE(56) === 0xef53 ? block.readUInt32LE(4) * (1024 << block.readUInt32LE(24)) : undefined;
}

async function prepareImage(file: string, { uid, gid }: Ids): Promise<void> {
  const size = ext4Size(file);
  if (size === undefined) await tool('mkfs.ext4', ['-q', '-O', 'mmp', '-E', `root_owner=${uid}:${gid}`, file]);
  // A file system may be smaller than its image by less than one of its groups of blocks.
  else if (statSync(file).size - size >= 128 * 1024 ** 2) {
    await tool('e2fsck', ['-f', '-y', file]);
    await tool('resize2fs', [file]);
  }
}

/**
 * Makes the volumes of a container ready for use, and its own ones fit for it: a new image gets a file system, an enlarged one
 * fills its image, an empty directory belongs to the container's root.
 * @throws Error when a tool fails or a volume does not exist.
 */
export async function prepareVolumes(vmid: number, section: Section, volumes: Volumes, ids: Ids): Promise<void> {
  for (const [key, value] of Object.entries(section.values)) {
    if (!lxc.isVolume(key)) continue;
    const source = sourceOf(lxc, parsePropertyString(lxc.volumeFormat(key), value));
    if (source.kind !== 'volume') continue;
    await volumes.activateVolume(source.volid);
    if (volumes.owner(source.volid) !== vmid) continue;
    const file = volumes.file(source.volid);
    const status = statSync(file, { throwIfNoEntry: false });
    if (status === undefined) throw new Error(`volume '${source.volid}' does not exist`);
    if (!status.isDirectory()) await prepareImage(file, ids);
    else if (status.uid === 0 && readdirSync(file).length === 0) chownSync(file, ids.uid, ids.gid);
  }
}
