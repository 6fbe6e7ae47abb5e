import type { Backend } from '../model/backend.ts';
import type { ContainerRecord } from '../model/container.ts';
import { failedPrecondition } from '../model/errors.ts';
import type { RootfsOptions, RootfsStore } from '../model/rootfs.ts';
import type { RootfsMounts } from '../model/rootfs-mounts.ts';
import type { RootfsStores } from './rootfs-stores.ts';

/** The store of records that name none: versions that wrote them had no other. */
const FIRST_STORE = 'overlayfs';

/** What makes root filesystems, and what mounts them. */
export interface RootfsPlace {
  store: RootfsStore;
  mounts: RootfsMounts;
}

/** The name of the store of a container's root filesystem and image volumes. */
export function storeNameOf({ rootfsStore = FIRST_STORE }: Pick<ContainerRecord, 'rootfsStore'>): string {
  return rootfsStore;
}

/** The place of new root filesystems of a backend. */
export function placeOf({ rootfs, platform }: Backend): RootfsPlace {
  return { store: rootfs, mounts: platform.rootfs };
}

/**
 * The place of an existing container's root filesystems: the store that its record names, and what its backend mounts with.
 * undefined when the server has no such store any more.
 */
export function findPlace(
  record: Pick<ContainerRecord, 'rootfsStore'>,
  { platform }: Backend,
  stores: Pick<RootfsStores, 'find'>,
): RootfsPlace | undefined {
  const store = stores.find(storeNameOf(record));
  return store && { store, mounts: platform.rootfs };
}

/** As {@link findPlace}. @throws CriError FAILED_PRECONDITION when the server has no such store any more. */
export function needPlace(
  record: Pick<ContainerRecord, 'id' | 'rootfsStore'>,
  backend: Backend,
  stores: Pick<RootfsStores, 'find'>,
): RootfsPlace {
  const place = findPlace(record, backend, stores);
  if (place !== undefined) return place;
  const name = JSON.stringify(storeNameOf(record));
  throw failedPrecondition(
    `the root filesystem of container ${record.id} is in the store ${name}, which this server does not have: make it available again, and restart the server`,
  );
}

/** Prepares and mounts a root filesystem; returns its path. @throws as RootfsStore.prepare and RootfsMounts.mount. */
export async function mountRootfs(
  { store, mounts }: RootfsPlace,
  id: string,
  chainId: string | undefined,
  options: RootfsOptions = {},
): Promise<string> {
  const rootfs = await store.prepare(id, chainId, options);
  try {
    return await mounts.mount(id, rootfs, options.signal);
  } catch (error) {
    options.signal?.throwIfAborted();
    throw (await store.explain?.(id, error)) ?? error;
  }
}

/** Unmounts and removes a root filesystem; no error when there is none. @throws as RootfsMounts.unmount and RootfsStore.remove. */
export async function removeRootfs({ store, mounts }: RootfsPlace, id: string): Promise<void> {
  try {
    await mounts.unmount(id);
  } catch (error) {
    throw (await store.explain?.(id, error)) ?? error;
  }
  await store.remove(id);
}
