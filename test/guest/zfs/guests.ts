import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { StatusCode } from '../../../src/core/model/errors.ts';
import { ZfsStore } from '../../../src/integrations/zfs/store/zfs-store.ts';
import { ZfsPoolStorage } from '../../pve/storage/zfspool/pool.ts';
import { ZfsDatasets } from '../../pve/storage/zfspool/zfs.ts';
import { applyAll, silent } from '../../integration/images-fixture.ts';
import { sha256, tarOf } from '../../unit/integrations/oci/image-builder.ts';
import { directory, IS_LONG, longTest, run, TANK, zfs } from './pools.ts';
import { newStore } from './store-fixture.ts';

const STORAGE = `${TANK}/guests`;
const MIB = 2n ** 20n;

/** The storage as a node of Proxmox sees it. */
const proxmox = new ZfsPoolStorage(
  'guests',
  { type: 'zfspool', pool: STORAGE, content: ['rootdir'], options: {} },
  { datasets: new ZfsDatasets(), keepsQuota: true },
);

const owner = (guest: number) => ({ pod: 'default/web-0', image: 'registry.example/web:1', guest });

/** Names of all datasets of the storage. */
async function names(): Promise<string[]> {
  const entries = await zfs.list(STORAGE, ['type'], { depth: 1 });
  return entries.slice(1).map(({ name }) => name.slice(STORAGE.length + 1));
}

test.serial.before(async () => {
  if (IS_LONG) await zfs.createFilesystem(STORAGE);
});

longTest('guests have their root filesystems among their volumes', async (t) => {
  const { store, dataset, mount, remove, make } = await newStore(t, 'named', { guests: STORAGE });
  const quotaBytes = 4n * MIB;
  const [chainId = ''] = await applyAll(store, [tarOf({ name: 'file', body: 'from the image' })]);
  // Of the guest itself, and another's.
  for (const vmid of [200, 201]) await proxmox.allocate({ vmid, format: 'subvol', size: 2 ** 30 });
  const ids = ['a', 'b', 'c', 'd'];
  await Promise.all(ids.map((id) => store.prepare(id, chainId, { owner: owner(200), limits: { quotaBytes } })));
  await store.prepare('plain', chainId, { owner: { pod: 'p', image: 'i' } });
  const ours = [1, 2, 3, 4].map((number) => `subvol-200-disk-${String(number)}`);
  t.deepEqual(await names(), ['subvol-200-disk-0', ...ours, 'subvol-201-disk-0']);

  const path = await mount('b', chainId, { owner: owner(200) });
  await writeFile(join(path, 'file'), 'changed');
  const fill = run('dd', 'if=/dev/urandom', `of=${join(path, 'fill')}`, 'bs=1M', 'count=8', 'conv=fsync');
  await t.throwsAsync(fill, { message: /Disk quota exceeded/ });

  const listed = await proxmox.images(200);
  t.deepEqual(
    listed.map(({ volid }) => volid),
    ['subvol-200-disk-0', ...ours].map((name) => `guests:${name}`),
  );
  t.true(listed.slice(1).every(({ size }) => BigInt(size) >= quotaBytes && BigInt(size) < quotaBytes + MIB));
  t.is(await proxmox.allocate({ vmid: 200, format: 'subvol', size: 2 ** 30 }), 'subvol-200-disk-5');

  const again = make();
  t.deepEqual((await again.list()).sort(), [...ids, 'plain']);
  t.deepEqual(await again.get('b'), await again.prepare('b', chainId));
  await t.throwsAsync(again.prepare('b', undefined), { message: /another image/ });
  const usage = await again.usage('b');
  t.true(usage !== undefined && usage.bytes > MIB && usage.inodes === 1n, String(usage?.inodes));
  for (const id of [...ids, 'plain', 'a']) await remove(id);
  t.deepEqual(await names(), ['subvol-200-disk-0', 'subvol-200-disk-5', 'subvol-201-disk-0']);
  await store.prepare('lowest', undefined, { owner: owner(201) });
  t.true((await names()).includes('subvol-201-disk-1'));
  t.deepEqual((await make().erase()).sort(), [`dataset ${STORAGE}/subvol-201-disk-1`, `dataset ${dataset}/layers`]);
  await remove('lowest');
  for (const name of await names()) await proxmox.free(name);
});

longTest('volumes that Proxmox has destroyed are no error', async (t) => {
  const { store, mount, remove, make } = await newStore(t, 'destroyed', { guests: STORAGE });
  const options = { owner: owner(300) };
  for (const id of ['mounted', 'gone', 'other']) await mount(id, undefined, options);
  for (const [index, id] of ['mounted', 'gone', 'other'].entries()) {
    await proxmox.free(`subvol-300-disk-${String(index)}`);
    t.is(await store.get(id), undefined);
  }
  // Numbers are given again: this one is another's now.
  await proxmox.allocate({ vmid: 300, format: 'subvol', size: 0 });
  for (const id of ['mounted', 'gone']) await remove(id);
  t.deepEqual(await names(), ['subvol-300-disk-0']);
  await mount('other', undefined, options);
  t.deepEqual(await names(), ['subvol-300-disk-0', 'subvol-300-disk-1']);

  const file = await open(join(await mount('used', undefined, options), 'file'), 'w');
  await remove('used');
  t.deepEqual(await store.list(), ['other']);
  t.true((await names()).includes('subvol-300-disk-2'));
  await file.close();
  await make().recover();
  t.deepEqual(await names(), ['subvol-300-disk-0', 'subvol-300-disk-1']);
  await remove('other');
  await proxmox.free('subvol-300-disk-0');
});

longTest('servers that share a storage keep apart', async (t) => {
  const first = await newStore(t, 'apart-1', { guests: STORAGE });
  const second = await newStore(t, 'apart-2', { guests: STORAGE });
  await first.store.prepare('a', undefined, { owner: owner(400) });
  await second.store.prepare('a', undefined, { owner: owner(401) });
  for (const { make } of [first, second]) {
    await make().recover();
    t.deepEqual(await make().list(), ['a']);
  }
  await first.store.remove('a');
  t.deepEqual([await names(), await second.store.list()], [['subvol-401-disk-0'], ['a']]);
  await second.store.remove('a');

  const guest = { owner: owner(99) };
  await t.throwsAsync(first.store.prepare('b', undefined, guest), { code: StatusCode.INVALID_ARGUMENT });
  const missing = `sha256:${sha256(Buffer.from('')).slice(7)}`;
  await t.throwsAsync(first.store.prepare('b', missing, { owner: owner(402) }), { code: StatusCode.NOT_FOUND });
  const signal = AbortSignal.abort(new Error('enough'));
  await t.throwsAsync(first.store.prepare('b', undefined, { owner: owner(402), signal }), { message: 'enough' });
  t.deepEqual(await names(), []);
  for (const [guests, message] of [
    [`${TANK}/nowhere`, /no dataset tank\/nowhere/],
    ['other/guests', /in another pool/],
  ] as const) {
    const mounts = join(directory.path, 'bad');
    const bad = new ZfsStore({ zfs, dataset: `${TANK}/apart-1`, root: first.root, mounts, guests, logger: silent });
    await t.throwsAsync(bad.recover(), { code: StatusCode.FAILED_PRECONDITION, message });
  }
});
