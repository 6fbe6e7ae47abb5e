import type { ContainerRecord } from '../../model/container.ts';
import type { OciMount } from '../../model/oci-runtime.ts';
import type { Usage } from '../../model/rootfs.ts';
import { unmountSubPaths } from './pod-volumes.ts';
import { mountVolume, removeVolume, type VolumePlace } from './volume-place.ts';
import type { VolumeQuotas } from './volume-quotas.ts';

/** What the volumes that an image declares are made from. */
export interface DeclaredRequest {
  /** Paths as the image's configuration has them. */
  volumes: readonly string[];
  /** Targets of the request's mounts. */
  requested: readonly string[];
  /** Id of the container's root. */
  owner: number;
  /** `namespace/name` of the pod. */
  pod: string;
  quotas: VolumeQuotas;
  /** For a volume that no annotation has a quota for. */
  defaultQuota: bigint | undefined;
  signal: AbortSignal | undefined;
}

/** Makes the volumes that a container's image declares, and returns their mounts. @throws as DeclaredVolumes.make. */
export function makeDeclaredVolumes(
  { store, mounts, directories }: VolumePlace,
  containerId: string,
  rootfs: string,
  { quotas, defaultQuota, pod, ...request }: DeclaredRequest,
): Promise<OciMount[]> {
  if (store === undefined) return directories.make(containerId, rootfs, request);
  const owner = { pod, container: containerId };
  const place = (number: number, destination: string) => {
    const options = { owner, quotaBytes: quotas.of(destination) ?? defaultQuota, signal: request.signal };
    return mountVolume(store, mounts, `${containerId}.${String(number)}`, options);
  };
  return directories.make(containerId, rootfs, { ...request, place });
}

/** Removes the declared volumes of a container, and unmounts what it has of its pod's; no error when there are none. */
export async function removeVolumes(
  place: VolumePlace,
  { id, spec }: Pick<ContainerRecord, 'id' | 'spec'>,
): Promise<void> {
  const { store, mounts, directories } = place;
  await directories.remove(id);
  if (store === undefined) return;
  await unmountSubPaths(place, id, spec);
  for (const volume of await idsOf(place, id)) await removeVolume(store, mounts, volume);
}

/** What the declared volumes of a container hold. */
export async function declaredVolumesUsage(place: VolumePlace, containerId: string): Promise<Usage> {
  const ids = await idsOf(place, containerId);
  const usages = await Promise.all([
    place.directories.usage(containerId),
    ...ids.map((id) => place.store?.usage(id) ?? Promise.resolve(undefined)),
  ]);
  const sum = { bytes: 0n, inodes: 0n };
  for (const usage of usages) {
    sum.bytes += usage?.bytes ?? 0n;
    sum.inodes += usage?.inodes ?? 0n;
  }
  return sum;
}

async function idsOf({ store }: VolumePlace, containerId: string): Promise<string[]> {
  const volumes = (await store?.list()) ?? [];
  return volumes.map(({ id }) => id).filter((id) => id.startsWith(`${containerId}.`));
}
