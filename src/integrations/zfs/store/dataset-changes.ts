import { randomUUID } from 'node:crypto';
import type { RootfsChanges } from '../../../core/model/rootfs-changes.ts';
import { mountPair } from '../../../host/trees/tree-pair.ts';
import { datasetOf } from '../names.ts';
import type { Zfs } from '../zfs.ts';
import { type Kind, PROPERTY } from './layout.ts';

/**
 * Mounts a snapshot of a root filesystem, made for this, beside that of its image. Not by `zfs diff`: that needs the dataset of
 * the layer mounted, has the kernel mount `.zfs/snapshot` in its first mount namespace, and names a file with several names by one
 * that may be gone.
 * @param image the snapshot of the top layer; undefined: none. @param directory for the mount points.
 */
export async function datasetChanges(
  zfs: Zfs,
  { dataset, image, directory }: { dataset: string; image: string | undefined; directory: string },
  signal?: AbortSignal,
): Promise<RootfsChanges> {
  const snapshot = `${dataset}@view-${randomUUID()}`;
  const remove = () => destroyView(zfs, snapshot);
  try {
    await zfs.snapshot([snapshot], { settings: { [PROPERTY.kind]: 'view' satisfies Kind }, signal });
    const tree = (source: string) => ({ type: 'zfs', source });
    const pair = await mountPair(
      directory,
      { image: image === undefined ? undefined : tree(image), rootfs: tree(snapshot) },
      signal,
    );
    const close = async () => {
      await pair.close();
      await remove();
    };
    return { ...pair, isSnapshot: true, close };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** Destroys a snapshot that was made to be read. One with clones goes with the last of them. */
export async function destroyView(zfs: Zfs, snapshot: string): Promise<void> {
  const dataset = datasetOf(snapshot);
  await zfs.destroySnapshots(dataset, [snapshot.slice(dataset.length + 1)], { deferred: true });
}
