import { asyncOf, isDirect, limitsOf, zeroesOf, type Drive } from './drives.ts';
import type { VolumeFacts } from '../host.ts';

/** The value of `-drive`, with which the node made a drive before QEMU's machine 10.0. */
export function legacyDrive(drive: Drive, source: VolumeFacts | undefined, release: '8.4' | '9.2'): string {
  const { settings } = drive;
  // Release 8 names the way of input and output here where the configuration does.
  const early = release === '8.4' ? ['media', 'cache', 'rerror', 'werror', 'aio', 'discard'] : undefined;
  const plain = (early ?? ['media', 'cache', 'rerror', 'werror', 'discard']).flatMap((name) =>
    settings[name] === undefined ? [] : [`${name}=${settings[name]}`],
  );
  const flag = (name: string, option: string): string[] =>
    settings[name] === undefined ? [] : [`${option}=${settings[name] === '1' ? 'on' : 'off'}`];
  const direct = isDirect(drive, source ?? { path: '', format: '', storage: '' });
  return [
    ...(source === undefined ? [] : [`file=${source.path}`]),
    'if=none',
    `id=drive-${drive.key}`,
    ...plain,
    ...flag('snapshot', 'snapshot'),
    ...flag('ro', 'readonly'),
    ...limitsOf(drive).map(([name, value]) => `throttling.${name}=${value}`),
    ...(source === undefined ? [] : [`format=${source.format}`]),
    ...(settings['cache'] === undefined && direct ? ['cache=none'] : []),
    ...(early !== undefined && settings['aio'] !== undefined ? [] : [`aio=${asyncOf(drive)}`]),
    ...(drive.cdrom ? [] : [`detect-zeroes=${zeroesOf(drive)}`]),
  ].join(',');
}
