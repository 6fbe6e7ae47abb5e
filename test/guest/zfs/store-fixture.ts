import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { mountRootfs, removeRootfs } from '../../../src/core/lifecycle/rootfs-place.ts';
import type { RootfsOptions } from '../../../src/core/model/rootfs.ts';
import { HostRootfsMounts } from '../../../src/host/platform/rootfs-mounts.ts';
import { ZfsStore, type ZfsStoreOptions } from '../../../src/integrations/zfs/store/zfs-store.ts';
import { silent } from '../../integration/images-fixture.ts';
import { mountPointsBelow } from '../../lib/mounts.ts';
import { directory, run, TANK, zfs } from './pools.ts';

/** A store on a new dataset below `parent`, what mounts its root filesystems, and a way to both. */
export async function newStore(t: ExecutionContext, name: string, more: Partial<ZfsStoreOptions> = {}, parent = TANK) {
  const dataset = `${parent}/${name}`;
  await zfs.createFilesystem(dataset);
  const root = join(directory.path, `root-${name}`);
  await mkdir(root);
  const make = (changed: Partial<ZfsStoreOptions> = {}) =>
    new ZfsStore({ zfs, dataset, root, mounts: join(root, 'zfs'), logger: silent, ...more, ...changed });
  const store = make();
  await store.recover();
  const mounts = new HostRootfsMounts(join(root, 'rootfs'));
  t.teardown(async () => {
    for (const { id } of await mounts.list()) await mounts.unmount(id);
    for (const path of await mountPointsBelow(root)) await run('umount', '--lazy', path);
  });
  const mount = (id: string, chainId?: string, options?: RootfsOptions) =>
    mountRootfs({ store, mounts }, id, chainId, options);
  return { store, dataset, root, mounts, mount, make, remove: (id: string) => removeRootfs({ store, mounts }, id) };
}
