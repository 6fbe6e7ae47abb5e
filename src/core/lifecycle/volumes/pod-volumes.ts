import { posix } from 'node:path';
import type { ContainerSpec, MountSpec } from '../../model/container-spec.ts';
import type { Logger } from '../../model/logger.ts';
import type { MountFacts, PlatformFiles } from '../../model/platform-files.ts';
import type { RootfsMounts } from '../../model/rootfs-mounts.ts';
import type { VolumeOptions, VolumeStore } from '../../model/volumes.ts';
import { type EmptyDir, emptyDirOf, emptyDirVolumeId } from './empty-dirs.ts';
import { bindSubPath } from './sub-paths.ts';
import { mountVolume, removeVolume, type VolumePlace } from './volume-place.ts';
import type { VolumeQuotas } from './volume-quotas.ts';

type Files = Pick<PlatformFiles, 'resolve' | 'mountOf' | 'copyDirectory' | 'withDirectory'>;

/** The mounts of a new container, and whose they are. */
export interface PodVolumesRequest {
  containerId: string;
  pod: { uid: string; name: string; namespace: string };
  mounts: readonly MountSpec[];
  quotas: VolumeQuotas;
  signal: AbortSignal | undefined;
}

/**
 * The mounts of a request, in which emptyDir volumes with a quota are volumes of the store. The kubelet's directory stays as it
 * is: a new volume gets its content, owner and mode, and is needed as long as it exists. A volume in memory has a limit of the
 * kubelet's and is left alone.
 * @throws CriError FAILED_PRECONDITION for a sub path that is not found in its volume; as VolumeStore.prepare.
 */
export async function placeEmptyDirs(
  { store, mounts: points }: VolumePlace,
  files: Files,
  logger: Logger,
  { containerId, pod, mounts, quotas, signal }: PodVolumesRequest,
): Promise<MountSpec[]> {
  const placed = [...mounts];
  if (store === undefined) return placed;
  for (const [index, mount] of mounts.entries()) {
    const hostPath = 'hostPath' in mount.source ? posix.normalize(mount.source.hostPath) : '';
    const emptyDir = emptyDirOf(hostPath, pod.uid);
    if (emptyDir === undefined) continue;
    const id = emptyDirVolumeId(pod.uid, emptyDir.volume);
    const quotaBytes = quotas.of(emptyDir.volume);
    const found = await directoryOf(store, { files, logger }, id, emptyDir, quotaBytes);
    if (found === undefined) continue;
    const { directory, on } = found;
    const owner = { pod: `${pod.namespace}/${pod.name}` };
    // One that exists may have no quota any more.
    const bounded = quotaBytes === undefined || quotaBytes === 0n ? quotas.largest : quotaBytes;
    const options = { owner, directory: emptyDir.directory, quotaBytes: bounded, signal };
    const root = await filledVolume({ store, points, files }, id, options);
    const field = `config.mounts[${String(index)}].host_path`;
    const sub = { hostPath, directory, root, id: subPathId(containerId, index), field, signal };
    const source = emptyDir.isSubPath ? await bindSubPath(files, points, sub) : root;
    const restrictions = [...new Set([...mount.restrictions, ...on.restrictions])];
    placed[index] = { ...mount, source: { hostPath: source }, restrictions };
  }
  return placed;
}

/** Unmounts what {@link placeEmptyDirs} has mounted for one container alone; the volumes stay. */
export async function unmountSubPaths(
  { store, mounts }: VolumePlace,
  containerId: string,
  spec: Pick<ContainerSpec, 'mounts'>,
): Promise<void> {
  if (store === undefined) return;
  for (const index of spec.mounts.keys()) await mounts.unmount(subPathId(containerId, index));
}

/**
 * The kubelet's directory, without links, and the mount that it is on, where a volume is used in its place: one with a quota, or
 * one that exists already, which has the pod's files. undefined otherwise.
 */
async function directoryOf(
  store: VolumeStore,
  { files, logger }: { files: Files; logger: Logger },
  id: string,
  { directory, volume }: EmptyDir,
  quotaBytes: bigint | undefined,
): Promise<{ directory: string; on: MountFacts } | undefined> {
  const isPresent = (await store.list()).some((each) => each.id === id);
  if (!isPresent && (quotaBytes === undefined || quotaBytes === 0n)) return undefined;
  const real = await files.resolve(directory);
  if (real === undefined) return undefined;
  const on = await files.mountOf(real);
  if (on.mountPoint !== real) return { directory: real, on };
  logger.warn('Quota of a volume ignored: it is a filesystem of its own', { volume, directory, type: on.type });
  return undefined;
}

/** Mounts a volume; a new one gets what the directory has. Nothing new is left when that fails. */
async function filledVolume(
  { store, points, files }: { store: VolumeStore; points: RootfsMounts; files: Files },
  id: string,
  options: VolumeOptions & { directory: string },
): Promise<string> {
  const isFilled = async () => (await store.list()).some((each) => each.id === id && each.isFilled);
  try {
    const root = await mountVolume(store, points, id, options);
    if (await isFilled()) return root;
    await files.copyDirectory(options.directory, root, options.signal);
    await store.markFilled(id);
    return root;
  } catch (error) {
    // What stays is filled by the next container, or removed with the pod.
    if (!(await isFilled())) await removeVolume(store, points, id).catch(() => undefined);
    throw error;
  }
}

function subPathId(containerId: string, mount: number): string {
  return `${containerId}.sub-${String(mount)}`;
}
