import { isTrial, type RootfsStore } from '../../model/rootfs.ts';
import type { RootfsMounts } from '../../model/rootfs-mounts.ts';
import { messageOf } from '../../../utils/errors.ts';
import type { ContainerServiceOptions } from './container-service.ts';
import type { ContainerStore } from './container-store.ts';
import { podUids, removeUnneededVolumes, unneededVolumes } from '../volumes/unneeded-volumes.ts';
import { ownerOf } from './image-volumes.ts';

/** Something of the server's own that no record knows, or that was removed and is still there. */
export interface Leftover {
  kind: 'rootfs' | 'volume' | 'removed';
  /** Id of a root filesystem or of a container with volumes; name of a dataset, or path. */
  name: string;
  /** Name of the store that has it; empty for what is in no store. */
  store: string;
  bytes: bigint;
}

/** Lists what {@link removeOrphans} would remove of the stores and volumes, and what is left of removals; changes nothing. */
export async function findLeftovers(
  { pods, stores }: ContainerServiceOptions,
  containers: ContainerStore,
): Promise<Leftover[]> {
  const found: Leftover[] = [];
  const backends = pods.backends();
  const unneededOf = async ({ volumes }: RootfsStore) => {
    if (volumes === undefined) return [];
    const ids = (await volumes.list()).map(({ id }) => id).filter((id) => isOrphan(containers, id));
    for (const { files } of new Set(backends.map(({ platform }) => platform))) {
      ids.push(...(await unneededVolumes(volumes, files, podUids(pods))));
    }
    return new Set(ids);
  };
  await stores.each('listing leftovers', async (store) => {
    for (const id of (await store.list()).filter((each) => isOrphan(containers, each) && !isTrial(each))) {
      const bytes = (await store.usage(id))?.bytes ?? 0n;
      found.push({ kind: 'rootfs', name: id, store: store.name, bytes });
    }
    for (const each of await store.remains()) found.push({ kind: 'removed', store: store.name, ...each });
    for (const id of await unneededOf(store)) {
      found.push({ kind: 'volume', name: id, store: store.name, bytes: (await store.volumes?.usage(id))?.bytes ?? 0n });
    }
  });
  for (const volumes of new Set(backends.map(({ platform }) => platform.volumes))) {
    for (const id of (await volumes.list()).filter((each) => isOrphan(containers, each))) {
      found.push({ kind: 'volume', name: id, store: '', bytes: (await volumes.usage(id)).bytes });
    }
    for (const each of await volumes.remains()) found.push({ kind: 'removed', store: '', ...each });
  }
  return found;
}

/**
 * Removes orphaned containers, root filesystems and volumes. Failures are logged.
 * @throws Error afterwards, when any failed.
 */
export async function removeOrphans(options: ContainerServiceOptions, store: ContainerStore): Promise<void> {
  const { pods, stores, logger } = options;
  let failures = 0;
  const sweep = async (what: string, part: { list(): Promise<string[]>; remove(id: string): Promise<void> }) => {
    const ids = await part.list().catch((error: unknown) => {
      failures += 1;
      logger.error(`Listing orphans (${what}) failed`, { error: messageOf(error) });
      return [];
    });
    for (const id of ids) {
      if (!isOrphan(store, id)) continue;
      logger.warn(`Removing orphan (${what})`, { containerId: id });
      try {
        await part.remove(id);
      } catch (error) {
        failures += 1;
        logger.error(`Removing orphan (${what}) failed`, { containerId: id, error: messageOf(error) });
      }
    }
  };
  const backends = pods.backends();
  for (const runner of new Set(backends.map((backend) => backend.runner))) await sweep('container', runner);
  for (const mounts of new Set(backends.map(({ platform }) => platform.rootfs))) {
    await sweep('mounted root filesystem', unmounting(mounts));
  }
  for (const store of stores.all) await sweep('root filesystem', store);
  for (const volumes of new Set(backends.map(({ platform }) => platform.volumes))) {
    await volumes.recover();
    await sweep('volume', volumes);
  }
  for (const mounts of new Set(backends.map(({ platform }) => platform.volumeMounts))) {
    await sweep('mounted volume', unmounting(mounts));
  }
  for (const { volumes } of stores.all) {
    if (volumes === undefined) continue;
    const list = async () => (await volumes.list()).map(({ id }) => id);
    await sweep('volume', { list, remove: (id) => volumes.remove(id) });
  }
  await removeUnneededVolumes(options);
  if (failures > 0) throw new Error(`${String(failures)} orphans of containers could not be listed or removed`);
}

function unmounting(mounts: RootfsMounts) {
  return {
    list: async () => (await mounts.list()).map(({ id }) => id),
    remove: (id: string) => mounts.unmount(id),
  };
}

/** Whether an id is that of a container, or begins with one, that has no record. Other names do not belong to the server. */
function isOrphan(store: ContainerStore, id: string): boolean {
  return /^[0-9a-f]{64}$/.test(ownerOf(id)) && store.isOrphan(ownerOf(id));
}
