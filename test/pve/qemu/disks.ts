import { statSync } from 'node:fs';
import { parseSize } from '../config/sizes.ts';
import type { Volumes } from '../state/volumes.ts';
import { drivesOf } from './command/disks/drives.ts';
import type { HostFacts, VolumeFacts } from './command/host.ts';
import { prepareQcow2 } from './machine/qcow2.ts';

/** Makes the images of a machine's disks what their names say: a new one of the format qcow2 is an empty file. */
export function prepareDisks(values: Readonly<Record<string, string>>, volumes: Volumes): void {
  for (const { file, settings } of drivesOf(values)) {
    if (file?.endsWith('.qcow2') !== true) continue;
    const path = volumes.file(file);
    const status = statSync(path, { throwIfNoEntry: false });
    if (status?.isFile() === true) prepareQcow2(path, parseSize(settings['size'] ?? String(status.size)));
  }
}

/**
 * The node with the volumes of a configuration's drives, which are made usable.
 * @throws Error when the node cannot; a volume that does not exist is an error of who asks for it.
 */
export async function withVolumes(
  facts: Omit<HostFacts, 'volume'>,
  values: Readonly<Record<string, string>>,
  volumes: Volumes,
): Promise<HostFacts> {
  const found = new Map<string, VolumeFacts>();
  for (const { file } of drivesOf(values)) {
    const volume = file === undefined || file.startsWith('/') ? undefined : await volumes.stat(file);
    if (file === undefined || volume === undefined) continue;
    await volumes.activateVolume(file);
    const { type } = volumes.config(file.split(':')[0]!);
    found.set(file, { path: volumes.file(file), format: volume.format, storage: type });
  }
  return {
    ...facts,
    volume: (volid) => {
      const volume = found.get(volid);
      if (volume === undefined) throw new Error(`volume '${volid}' does not exist`);
      return volume;
    },
  };
}
