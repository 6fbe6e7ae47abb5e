import { parsePropertyString } from '../../schema/check-value.ts';
import { LxcConfigFailure, type LxcSurroundings } from './surroundings.ts';
import { DEVICE } from '../property-formats.ts';

/**
 * What the device controller allows for each `devN`. Proxmox asks errno after it looked at the node: where the last file it
 * looked for before was missing (`missingBefore`), it takes every device for missing too. Proxmox's order is that of a hash;
 * here it is the keys'.
 * @throws {PropertyStringError} a value that is none
 * @throws {LxcConfigFailure} a path that is no device or none at all
 */
export function deviceLines(
  options: Record<string, string | number>,
  devices: LxcSurroundings['devices'],
  missingBefore: boolean,
): string[] {
  const keys = Object.keys(options).filter((key) => /^dev\d+$/.test(key));
  return keys.sort().flatMap((key) => {
    const device = parsePropertyString(DEVICE, String(options[key]));
    const { path } = device;
    if (path === undefined) throw new LxcConfigFailure('Path has to be defined');
    const node = devices[path];
    if (node === undefined || missingBefore) throw new LxcConfigFailure(`Device ${path} does not exist`);
    const number = `${node.type} ${node.major}:${node.minor}`;
    const readOnly = device['deny-write'] === '1';
    return [
      `lxc.cgroup2.devices.allow = ${number} ${readOnly ? 'r' : 'rw'}`,
      ...(readOnly ? [`lxc.cgroup2.devices.deny = ${number} w`] : []),
    ];
  });
}
