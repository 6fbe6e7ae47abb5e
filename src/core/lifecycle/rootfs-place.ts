import type { Backend } from '../model/backend.ts';
import type { ContainerRecord } from '../model/container.ts';
import { failedPrecondition } from '../model/errors.ts';
import type { RootfsOptions, RootfsStore } from '../model/rootfs.ts';
import type { RootfsMounts } from '../model/rootfs-mounts.ts';

/** The store of records that name none: versions that wrote them had no other. */
const FIRST_STORE = 'overlayfs';

/** What makes root filesystems, and what mounts them. */
export interface RootfsPlace {
  store: RootfsStore;
  mounts: RootfsMounts;
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
  { rootfsStore = FIRST_STORE }: Pick<ContainerRecord, 'rootfsStore'>,
  backend: Backend,
  backends: readonly Backend[],
): RootfsPlace | undefined {
  const store = [backend, ...backends].map(({ rootfs }) => rootfs).find(({ name }) => name === rootfsStore);
  return store && { store, mounts: backend.platform.rootfs };
}

/** As {@link findPlace}. @throws CriError FAILED_PRECONDITION when the server has no such store any more. */
export function needPlace(
  record: Pick<ContainerRecord, 'id' | 'rootfsStore'>,
  backend: Backend,
  backends: readonly Backend[],
): RootfsPlace {
  const place = findPlace(record, backend, backends);
  if (place !== undefined) return place;
  const name = JSON.stringify(record.rootfsStore ?? FIRST_STORE);
  throw failedPrecondition(
    `the root filesystem of container ${record.id} is in the store ${name}, which no handler has any more: start the server with a handler that has it`,
  );
}

/** Prepares and mounts a root filesystem; returns its path. @throws as RootfsStore.prepare and RootfsMounts.mount. */
export async function mountRootfs(
  { store, mounts }: RootfsPlace,
  id: string,
  chainId: string | undefined,
  options: RootfsOptions = {},
): Promise<string> {
  return mounts.mount(id, await store.prepare(id, chainId, options), options.signal);
}

/** Unmounts and removes a root filesystem; no error when there is none. */
export async function removeRootfs({ store, mounts }: RootfsPlace, id: string): Promise<void> {
  await mounts.unmount(id);
  await store.remove(id);
}
