import type { ContainerRecord } from '../../model/container.ts';
import type { Usage } from '../../model/rootfs.ts';
import { findPlace } from '../rootfs-place.ts';
import { declaredVolumesUsage } from '../volumes/container-volumes.ts';
import { volumePlace } from '../volumes/volume-place.ts';
import type { ContainerServiceOptions } from './container-service.ts';

/** The usage of a container's root filesystem and declared volumes; undefined when the server does not have them. */
export async function writtenBy(
  { pods, stores }: Pick<ContainerServiceOptions, 'pods' | 'stores'>,
  record: ContainerRecord,
): Promise<Usage | undefined> {
  const backend = pods.backendOf(record.sandboxId);
  const place = findPlace(record, backend, stores);
  if (place === undefined) return undefined;
  const [layer, volumes] = await Promise.all([
    place.store.usage(record.id),
    declaredVolumesUsage(volumePlace(place.store, backend.platform), record.id),
  ]);
  return layer && { bytes: layer.bytes + volumes.bytes, inodes: layer.inodes + volumes.inodes };
}
