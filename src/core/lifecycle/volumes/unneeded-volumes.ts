import { messageOf } from '../../../utils/errors.ts';
import type { Logger } from '../../model/logger.ts';
import type { PlatformFiles } from '../../model/platform-files.ts';
import type { VolumeStore } from '../../model/volumes.ts';
import type { PodService } from '../pods/pod-service.ts';
import type { RootfsStores } from '../rootfs-stores.ts';
import { podOf } from './empty-dirs.ts';
import { removeVolume } from './volume-place.ts';

/**
 * Volumes of pods that are gone: no sandbox of the pod exists, and neither does the kubelet's directory of the volume. While the
 * directory of all pods is missing nothing is: its filesystem may not be mounted yet.
 * @param uids of the pods that have a sandbox.
 */
export async function unneededVolumes(
  store: Pick<VolumeStore, 'list'>,
  files: Pick<PlatformFiles, 'resolve'>,
  uids: ReadonlySet<string>,
): Promise<string[]> {
  const unneeded: string[] = [];
  for (const { id, directory } of await store.list()) {
    const pod = directory === undefined ? undefined : podOf(directory);
    if (directory === undefined || pod === undefined || uids.has(pod.uid)) continue;
    if ((await files.resolve(pod.pods)) !== undefined && (await files.resolve(directory)) === undefined)
      unneeded.push(id);
  }
  return unneeded;
}

/** UIDs of the pods that have a sandbox. @param except a sandbox that does not count. */
export function podUids(pods: Pick<PodService, 'list'>, except?: string): Set<string> {
  const sandboxes = pods.list().filter(({ id }) => id !== except);
  return new Set(sandboxes.map(({ spec }) => spec.metadata.uid));
}

/**
 * Removes {@link unneededVolumes} of all stores. Never fails: what is left is logged, and removed by a later call.
 * @param removing a sandbox that is being removed, whose pod may be gone.
 */
export async function removeUnneededVolumes(
  { pods, stores, logger }: { pods: PodService; stores: RootfsStores; logger: Logger },
  removing?: string,
): Promise<void> {
  const uids = podUids(pods, removing);
  for (const { files, volumeMounts } of new Set(pods.backends().map(({ platform }) => platform))) {
    for (const { name, volumes } of stores.all) {
      if (volumes === undefined) continue;
      try {
        for (const id of await unneededVolumes(volumes, files, uids)) {
          await removeVolume(volumes, volumeMounts, id);
          logger.info('Volume of a removed pod removed', { volume: id });
        }
      } catch (error) {
        logger.error('Removing volumes of removed pods failed', { store: name, error: messageOf(error) });
      }
    }
  }
}
