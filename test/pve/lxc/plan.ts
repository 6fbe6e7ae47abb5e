import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Section } from '../config/config-text.ts';
import type { Volumes } from '../state/volumes.ts';
import { devicesOf } from './files.ts';
import { mapped, type Ids } from './ids.ts';
import { writeNetworks } from './network.ts';
import { deviceAt } from './machine/surroundings.ts';
import { mountsOf } from './volumes.ts';

function deviceLines({ values }: Section, ids: Ids): string[] {
  return devicesOf({ options: values }).flatMap(({ path = '', mode = '0660', uid = '0', gid = '0' }) => {
    const device = deviceAt(path);
    if (device === undefined) return [];
    const owner = `${mapped(ids, 'u', Number(uid))}:${mapped(ids, 'g', Number(gid))}`;
    return [[device.type, device.major, device.minor, path, mode, owner].join(' ')];
  });
}

/**
 * Writes what the hooks of a container read: the files `mounts`, `devices` and `networks` of its directory.
 * @throws Error when a volume does not exist.
 */
export function writePlan(directory: string, vmid: number, section: Section, volumes: Volumes, ids: Ids): void {
  const mounts = mountsOf(section, volumes).map(({ kind, source, target, options }) =>
    [kind, source, target, options.join(','), `${ids.uid}:${ids.gid}`].join('\t'),
  );
  const files = { mounts, devices: deviceLines(section, ids) };
  for (const [name, lines] of Object.entries(files)) {
    writeFileSync(join(directory, name), lines.map((line) => `${line}\n`).join(''));
  }
  writeNetworks(directory, vmid, section);
}
