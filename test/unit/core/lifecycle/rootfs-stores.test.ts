import test from 'ava';
import { RootfsStores } from '../../../../src/core/lifecycle/rootfs-stores.ts';
import type { RootfsStore } from '../../../../src/core/model/rootfs.ts';
import { silent } from '../../../integration/images-fixture.ts';

const storeOf = (name: string, fails = false) => {
  const usage = { bytes: 1n, inodes: 1n, mountpoint: `/${name}` };
  const fsUsage = () => (fails ? Promise.reject(new Error(`${name} is suspended`)) : Promise.resolve(usage));
  return { name, fsUsage } as Partial<RootfsStore> as RootfsStore;
};

test('only the usage of the default store is needed', async (t) => {
  const filesystems = async (used: RootfsStore[], left: RootfsStore[] = []) => [
    ...(await new RootfsStores({ used, left, logger: silent }).filesystems()).keys(),
  ];
  t.deepEqual(await filesystems([storeOf('a'), storeOf('b')], [storeOf('c')]), ['a', 'b', 'c']);
  t.deepEqual(await filesystems([storeOf('a'), storeOf('b', true), storeOf('c')], [storeOf('d', true)]), ['a', 'c']);
  await t.throwsAsync(filesystems([storeOf('a', true), storeOf('b')]), { message: 'a is suspended' });
});
