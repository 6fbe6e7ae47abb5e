import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { asyncOf, isDirect, limitsOf, zeroesOf, type Drive } from './drives.ts';
import type { VolumeFacts } from '../host.ts';

type Json = string | number | boolean | { readonly [name: string]: Json };

/** JSON with the members of each object in the order of their names, as the node writes it. */
export function canonicalJson(value: Json): string {
  if (typeof value !== 'object') return JSON.stringify(value);
  const members = Object.keys(value)
    .sort()
    .map((name) => `${JSON.stringify(name)}:${canonicalJson(value[name]!)}`);
  return `{${members.join(',')}}`;
}

/** The name of a node of QEMU's block layer: `e` stands for a file, `f` for its format. */
function nodeName(kind: 'e' | 'f', { key, file }: Drive): string {
  return kind + createHash('sha256').update(`drive=${key},volid=${file!}`).digest('hex').slice(0, 30);
}

function fileDriver({ file, cdrom }: Drive, { path }: VolumeFacts): string {
  const status = statSync(path, { throwIfNoEntry: false });
  if (status === undefined && file!.startsWith('/'))
    throw new Error(`stat for '${path}' failed - No such file or directory`);
  if (status?.isBlockDevice() !== true && status?.isCharacterDevice() !== true) return 'file';
  return cdrom ? 'host_cdrom' : 'host_device';
}

/** The object that limits a drive, which every drive with a volume has. */
export function throttleGroup(drive: Drive): Json {
  const limits = Object.fromEntries(limitsOf(drive));
  return { id: `throttle-drive-${drive.key}`, limits, 'qom-type': 'throttle-group' };
}

/** The nodes of the block layer of a drive with a volume, as the node makes them since QEMU's machine 10.0. */
export function blockdev(drive: Drive, source: VolumeFacts): Json {
  const { key, cdrom, settings } = drive;
  const common = {
    ...(cdrom ? {} : { discard: settings['discard'] === 'on' ? 'unmap' : 'ignore', 'detect-zeroes': zeroesOf(drive) }),
    'read-only': settings['ro'] === '1' || cdrom,
  };
  const cache = { direct: isDirect(drive, source), 'no-flush': settings['cache'] === 'unsafe' };
  const file = {
    driver: fileDriver(drive, source),
    filename: source.path,
    cache,
    aio: asyncOf(drive),
    'node-name': nodeName('e', drive),
    ...common,
  };
  const formatted = { driver: source.format, file, cache, 'node-name': nodeName('f', drive), ...common };
  const throttle = { 'throttle-group': `throttle-drive-${key}`, 'node-name': `drive-${key}` };
  return { driver: 'throttle', file: formatted, ...throttle, ...common };
}
