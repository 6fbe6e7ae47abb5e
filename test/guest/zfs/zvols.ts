import { randomBytes } from 'node:crypto';
import { chown, open, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { StatusCode } from '../../../src/core/model/errors.ts';
import { ZfsStore } from '../../../src/integrations/zfs/store/zfs-store.ts';
import { applyAll, silent } from '../../integration/images-fixture.ts';
import { mountPointsBelow } from '../../lib/mounts.ts';
import { ZfsPoolStorage } from '../../pve/storage/zfspool/pool.ts';
import { ZfsDatasets } from '../../pve/storage/zfspool/zfs.ts';
import { tarOf } from '../../unit/integrations/oci/image-builder.ts';
import { directory, longTest, makePool, run, TANK, zfs } from './pools.ts';
import { newStore } from './store-fixture.ts';

const MIB = 2n ** 20n;
const volumeBytes = 32n * MIB;

const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex');
const IMAGE = [
  tarOf(
    { name: './', type: 'directory', mode: 0o711, uid: 5, mtime: '1111111111.5' },
    { name: 'gone/deep/file' },
    { name: 'suid', mode: 0o4755, uid: 70_000, gid: 70_001, mtime: '1234567890.5' },
    { name: 'hard', type: 'hardlink', linkName: 'suid' },
    { name: 'ping', xattrs: new Map([['security.capability', capability]]) },
  ),
  tarOf({ name: '.wh.gone' }, { name: 'file', body: 'from the image' }),
];

test.serial('volumes with ext4 hold layers and root filesystems', async (t) => {
  const { store, dataset, root, mount, mounts, remove, make } = await newStore(t, 'volumes', { volumeBytes });
  t.is(store.name, 'zvol:tank/volumes');
  const chain = await applyAll(store, IMAGE);
  const top = chain.at(-1) ?? '';
  const path = await mount('c1', top);
  t.like(await stat(path), { mode: 0o40711, uid: 5, mtimeMs: 1_111_111_111_500 });
  t.like(await stat(join(path, 'hard')), { mode: 0o104755, uid: 70_000, nlink: 2, mtimeMs: 1_234_567_890_500 });
  t.regex(await run('getcap', join(path, 'ping')).catch(() => run('ls', path)), /ping/);
  t.is(await readFile(join(path, 'file'), 'utf8'), 'from the image');
  await t.throwsAsync(stat(join(path, 'gone')), { code: 'ENOENT' });
  t.deepEqual(await run('ls', '-A', await mount('empty')), '');
  t.like(await stat(await mount('empty')), { mode: 0o40755, mtimeMs: 0 });

  await writeFile(join(path, 'file'), 'changed');
  await writeFile(join(path, 'more'), randomBytes(2 ** 20));
  t.is(await readFile(join(await mount('c2', top), 'file'), 'utf8'), 'from the image');
  await run('sync', '--file-system', path);
  await run('zpool', 'sync', TANK);
  const usage = await store.usage('c1');
  t.true(usage !== undefined && usage.bytes > MIB && usage.inodes === 1n, String(usage?.inodes));
  t.is((await store.usage('c2'))?.inodes, 0n);
  await mounts.unmount('c1');
  t.is((await store.usage('c1'))?.inodes, 1n);

  const again = make();
  t.deepEqual(
    [(await again.listLayers()).sort(), (await again.list()).sort()],
    [chain.toSorted(), ['c1', 'c2', 'empty']],
  );
  t.deepEqual(await again.get('c1'), await again.prepare('c1', top));
  t.is(await readFile(join(await mount('c1', top), 'file'), 'utf8'), 'changed');
  const view = await mount('view', top, { readonly: true });
  await t.throwsAsync(writeFile(join(view, 'file'), ''), { code: 'EROFS' });
  const mapped = await mount('mapped', top, { ids: { hostId: 200_000, size: 131_072 } });
  t.like(await stat(join(mapped, 'suid')), { uid: 270_000, gid: 270_001 });
  await chown(join(mapped, 'file'), 200_009, 200_009);

  await t.throwsAsync(store.changes('c1'), { code: StatusCode.FAILED_PRECONDITION });
  // Only root filesystems have devices.
  t.is((await readFile('/proc/partitions', 'utf8')).match(/ zd\d+$/gm)?.length, 5);
  const file = await open(join(await mount('c2', top), 'file'));
  for (const id of ['c1', 'c2', 'empty', 'view', 'mapped']) await remove(id);
  t.deepEqual([await store.list(), (await zfs.list(`${dataset}/rootfs`, ['type'])).length], [[], 2]);
  await file.close();
  await make().recover();
  for (const chainId of chain.toReversed()) await store.removeLayer(chainId);
  t.deepEqual(await mountPointsBelow(join(root, 'zfs/work')), []);
  t.deepEqual(await make().erase(), []);
  t.is((await zfs.list(dataset, ['type'])).length, 1);
});

longTest('a quota is the size of a volume beyond its image', async (t) => {
  const { store, dataset, mount } = await newStore(t, 'sized', { volumeBytes, guests: `${TANK}/guests` });
  const [chainId] = await applyAll(store, [tarOf({ name: 'file', body: randomBytes(2 ** 20).toString('hex') })]);
  const limits = { quotaBytes: 64n * MIB };
  const owner = { pod: 'default/web-0', image: 'registry.example/web:1', guest: 500 };
  const path = await mount('c1', chainId, { limits, owner });
  const fill = run('dd', 'if=/dev/zero', `of=${join(path, 'fill')}`, 'bs=1M', 'count=80', 'conv=fsync');
  await t.throwsAsync(fill, { message: /No space left/ });
  const { size } = await stat(join(path, 'fill'));
  t.true(size > 48 * 2 ** 20 && size < 64 * 2 ** 20, String(size));
  const small = store.prepare('c2', chainId, { limits: { quotaBytes: MIB } });
  await t.throwsAsync(small, { code: StatusCode.FAILED_PRECONDITION, message: /a quota of 1048576 bytes/ });

  const proxmox = new ZfsPoolStorage(
    'guests',
    { type: 'zfspool', pool: `${TANK}/guests`, content: ['images'], options: {} },
    { datasets: new ZfsDatasets(), keepsQuota: true },
  );
  const volumes = (await proxmox.images(500)).map(({ volid, format, size }) => [volid, format, size]);
  t.deepEqual(volumes, [['guests:vm-500-disk-0', 'raw', 67 * 2 ** 20]]);

  // As a server leaves it that is killed before the filesystem has all of the volume.
  const name = `${dataset}/rootfs/c3`;
  const settings = { 'proxmox-lxcri:kind': 'rootfs', 'proxmox-lxcri:chain': chainId ?? '' };
  await zfs.clone(`${dataset}/layers/${(chainId ?? '').slice(7)}@layer`, name, { settings });
  await store.get('c3');
  await zfs.set(name, { volsize: String(96n * MIB) });
  const grown = await mount('c3', chainId, { limits: { quotaBytes: 94n * MIB } });
  t.true(Number((await run('stat', '-f', '-c', '%b', grown)).trim()) * 4096 > 80 * 2 ** 20);
});

longTest('a layer without room leaves no volume', async (t) => {
  const { store, dataset, root } = await newStore(t, 'narrow', { volumeBytes: 16n * MIB });
  const large = tarOf({ name: 'large', body: randomBytes(8 * 2 ** 20).toString('hex') });
  const message = /volume tank\/narrow\/layers\/[0-9a-f]{64} has 16777216 bytes; make volumes larger/;
  await t.throwsAsync(applyAll(store, [large]), { code: StatusCode.RESOURCE_EXHAUSTED, message });
  t.is((await zfs.list(`${dataset}/layers`, ['type'])).length, 2);
  t.deepEqual(await mountPointsBelow(join(root, 'zfs/work')), []);
});

longTest('a full pool ends the unpacking of volumes', async (t) => {
  const large = tarOf({ name: 'large', body: randomBytes(8 * 2 ** 20).toString('hex') });
  const place = await makePool('brim', '64M');
  await zfs.createFilesystem('brim/lxcri');
  const mounts = join(directory.path, 'brim-mounts');
  const options = { zfs, dataset: 'brim/lxcri', root: place, mounts, volumeBytes: 256n * MIB, logger: silent };
  const brim = new ZfsStore(options);
  t.teardown(() => run('zpool', 'destroy', '-f', 'brim'));
  t.teardown(() => run('umount', join(mounts, 'pool')));
  await brim.recover();
  const full = { code: StatusCode.RESOURCE_EXHAUSTED, message: /free space in the pool brim/ };
  await t.throwsAsync(applyAll(brim, [large, large]), full);
  t.is(
    (await zfs.list('brim/lxcri/layers', ['type'], { types: ['volume'] })).length,
    (await brim.listLayers()).length + 1,
  );
});
