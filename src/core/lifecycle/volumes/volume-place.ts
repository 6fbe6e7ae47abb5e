import type { DeclaredVolumes } from '../../model/declared-volumes.ts';
import type { Platform } from '../../model/platform.ts';
import type { RootfsStore } from '../../model/rootfs.ts';
import type { RootfsMounts } from '../../model/rootfs-mounts.ts';
import type { VolumeOptions, VolumeStore } from '../../model/volumes.ts';

/** Where the volumes of a container are: in its store, where that has volumes, and in directories beside it otherwise. */
export interface VolumePlace {
  store: VolumeStore | undefined;
  mounts: RootfsMounts;
  directories: DeclaredVolumes;
}

/** The place of the volumes of a container whose root filesystem is in `store`. */
export function volumePlace(
  store: Pick<RootfsStore, 'volumes'>,
  { volumes, volumeMounts }: Pick<Platform, 'volumes' | 'volumeMounts'>,
): VolumePlace {
  return { store: store.volumes, mounts: volumeMounts, directories: volumes };
}

/** Prepares and mounts a volume of a store; returns its path. @throws as VolumeStore.prepare and RootfsMounts.mount. */
export async function mountVolume(
  store: VolumeStore,
  mounts: RootfsMounts,
  id: string,
  options: VolumeOptions,
): Promise<string> {
  return mounts.mount(id, await store.prepare(id, options), options.signal);
}

/** Unmounts and removes a volume of a store; no error when there is none. */
export async function removeVolume(store: VolumeStore, mounts: RootfsMounts, id: string): Promise<void> {
  await mounts.unmount(id);
  await store.remove(id);
}

/** Unmounts and removes all volumes that a store has. */
export async function removeAllVolumes({ volumes }: Pick<RootfsStore, 'volumes'>, mounts: RootfsMounts): Promise<void> {
  if (volumes === undefined) return;
  for (const { id } of await volumes.list()) await removeVolume(volumes, mounts, id);
}
