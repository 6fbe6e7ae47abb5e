import { parsePropertyString } from '../../../api/params/property-string.ts';
import { drive as format } from '../../../config/qemu-keys.ts';
import type { Draft } from '../draft.ts';
import type { VolumeFacts } from '../host.ts';

/** A drive of a configuration. */
export interface Drive {
  /** Such as `scsi0`. */
  readonly key: string;
  readonly interface: 'ide' | 'scsi' | 'virtio' | 'sata';
  readonly index: number;
  /** The settings of its property string. */
  readonly settings: Readonly<Record<string, string>>;
  /** The volume or the path that it shows; undefined for an empty drive. */
  readonly file: string | undefined;
  readonly cdrom: boolean;
}

/** Interfaces in the order in which the node looks at them, with how many drives each may have. */
const INTERFACES = { ide: 4, scsi: 31, virtio: 16, sata: 6 } as const;

/** The drive of one key of a configuration. */
export function parseDrive(key: string, value: string): Drive {
  const [, kind = '', index = ''] = /^([a-z]+)(\d+)$/.exec(key) ?? [];
  const settings = parsePropertyString(format, value);
  const { file = 'none' } = settings;
  // The content of a cloud-init drive is not made.
  const empty = file === 'none' || file.endsWith('cloudinit');
  return {
    key,
    interface: kind as Drive['interface'],
    index: Number(index),
    settings,
    file: empty ? undefined : file,
    cdrom: settings['media'] === 'cdrom',
  };
}

/** The drives of a configuration in the node's order, without those of firmware. */
export function drivesOf(values: Readonly<Record<string, string>>): Drive[] {
  return Object.entries(INTERFACES).flatMap(([kind, count]) =>
    Array.from({ length: count }, (_, index) => `${kind}${index}`)
      .filter((key) => values[key] !== undefined)
      .map((key) => parseDrive(key, values[key]!)),
  );
}

/**
 * What the drive shows.
 * @throws Error when the volume does not exist, or an ISO image is no CD-ROM's.
 */
export function sourceOf(draft: Draft, drive: Drive): VolumeFacts | undefined {
  const { file, settings, key } = drive;
  if (file === undefined) return undefined;
  if (file.startsWith('/')) return { path: file, format: settings['format'] ?? 'raw', storage: '' };
  if (file.includes(':iso/') && settings['media'] === undefined)
    throw new Error(`${key}: explicit media parameter is required for iso images`);
  const volume = draft.host.volume(file);
  return volume.format === 'iso' ? { ...volume, format: 'raw' } : volume;
}

/** Whether the node's cache is left out for the drive. */
export function isDirect({ settings, cdrom }: Drive, { storage }: VolumeFacts): boolean {
  const { cache } = settings;
  if (cache !== undefined) return cache === 'none' || cache === 'directsync';
  return !cdrom && storage !== 'btrfs';
}

/** The way of input and output of a drive. */
export function asyncOf(drive: Drive): string {
  return drive.settings['aio'] ?? 'io_uring';
}

/** What is done about zeroes that are written to a disk. */
export function zeroesOf({ settings }: Drive): string {
  if (settings['detect_zeroes'] === '0') return 'off';
  return settings['discard'] === 'on' ? 'unmap' : 'on';
}

/** The limits of a drive as QEMU names them, behind a prefix. */
export function limitsOf({ settings }: Drive): [name: string, value: number][] {
  const kinds = [
    ['', 'total'],
    ['_rd', 'read'],
    ['_wr', 'write'],
  ] as const;
  return kinds.flatMap(([suffix, name]) => {
    const of = (key: string, to: string, factor = 1): [string, number][] => {
      const value = Number(settings[key] ?? 0);
      return value === 0 ? [] : [[to, Math.trunc(value * factor)]];
    };
    return [
      ...of(`mbps${suffix}`, `bps-${name}`, 1024 ** 2),
      ...of(`mbps${suffix}_max`, `bps-${name}-max`, 1024 ** 2),
      ...of(`bps${suffix}_max_length`, `bps-${name}-max-length`),
      ...of(`iops${suffix}`, `iops-${name}`),
      ...of(`iops${suffix}_max`, `iops-${name}-max`),
      ...of(`iops${suffix}_max_length`, `iops-${name}-max-length`),
    ];
  });
}
