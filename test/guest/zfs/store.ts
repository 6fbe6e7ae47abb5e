import { randomBytes } from 'node:crypto';
import { chown, open, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { StatusCode } from '../../../src/core/model/errors.ts';
import { valueOf } from '../../../src/integrations/zfs/answers/properties.ts';
import { zfsClient } from '../../../src/integrations/zfs/client.ts';
import { ZfsStore } from '../../../src/integrations/zfs/store/zfs-store.ts';
import { forEach } from '../../../src/utils/async/for-each.ts';
import { sha256, tarOf } from '../../unit/integrations/oci/image-builder.ts';
import { applyAll, silent, withBlob } from '../../integration/images-fixture.ts';
import { mountPointsBelow } from '../../lib/mounts.ts';
import { directory, longTest, makePool, run, TANK, zfs } from './pools.ts';
import { newStore } from './store-fixture.ts';

test.serial('root filesystems are clones that know whose they are', async (t) => {
  const { store, dataset, mount, mounts, remove, make } = await newStore(t, 'clones');
  const [chainId = ''] = await applyAll(store, [tarOf({ name: 'file', body: 'from the image' })]);
  const owner = { pod: 'default/web-0\n', image: 'registry.example/web:1' };
  const path = await mount('c1', chainId, { owner });
  await writeFile(join(path, 'file'), 'changed');
  await writeFile(join(path, 'more'), randomBytes(2 ** 20));
  t.is(await readFile(join(await mount('c2', chainId), 'file'), 'utf8'), 'from the image');
  const columns = ['name', 'origin', 'proxmox-lxcri:pod', 'proxmox-lxcri:image', 'proxmox-lxcri:container'];
  t.is(
    await run('zfs', 'list', '-Ho', columns.join(','), `${dataset}/rootfs/c1`),
    [`${dataset}/rootfs/c1`, `${dataset}/layers/${chainId.slice(7)}@layer`, 'default/web-0?', owner.image, 'c1\n'].join(
      '\t',
    ),
  );
  const again = make();
  t.deepEqual([await again.listLayers(), (await again.list()).sort()], [[chainId], ['c1', 'c2']]);
  t.deepEqual(await again.get('c1'), await again.prepare('c1', chainId));
  for (const [options, message] of [
    [{ readonly: true }, /another access/],
    [{ ids: { hostId: 5, size: 6 } }, /other ids/],
  ] as const) {
    await t.throwsAsync(again.prepare('c1', chainId, options), { code: StatusCode.INVALID_ARGUMENT, message });
  }
  await t.throwsAsync(again.prepare('c1', undefined), { message: /another image/ });
  await t.throwsAsync(again.prepare('c3', `sha256:${'0'.repeat(64)}`), { code: StatusCode.NOT_FOUND });
  await t.throwsAsync(again.removeLayer(chainId), { code: StatusCode.FAILED_PRECONDITION });

  await run('zpool', 'sync', TANK);
  const usage = await store.usage('c1');
  t.true(usage !== undefined && usage.bytes > 2n ** 16n && usage.inodes === 1n, String(usage?.inodes));
  t.is((await store.usage('c2'))?.inodes, 0n);
  await mounts.unmount('c1');
  t.deepEqual(await store.usage('c1'), usage);
  t.deepEqual(await Promise.all([store.usage('c1'), store.usage('c3')]), [usage, undefined]);
  t.is(await store.usage('c3'), undefined);
  t.like(await store.fsUsage(), { inodes: 2n });
  const view = await mount('view', chainId, { readonly: true });
  await t.throwsAsync(writeFile(join(view, 'file'), ''), { code: 'EROFS' });
  t.like(await stat(await mount('empty')), { mode: 0o40755, mtimeMs: 0 });
  await writeFile(join(await mount('empty'), 'file'), '');
  await run('zpool', 'sync', TANK);
  t.is((await store.usage('empty'))?.inodes, 1n);
  for (const id of ['c1', 'c2', 'view', 'empty', 'c1']) await remove(id);
  await store.removeLayer(chainId);
  t.deepEqual([await store.listLayers(), await store.list()], [[], []]);
});

test.serial('a root filesystem in use is removed later', async (t) => {
  const { store, dataset, mount, remove, make } = await newStore(t, 'used');
  const [chainId = ''] = await applyAll(store, [tarOf({ name: 'file' })]);
  const file = await open(join(await mount('c1', chainId), 'file'));
  await remove('c1');
  t.deepEqual([await store.list(), await store.get('c1'), await store.usage('c1')], [[], undefined, undefined]);
  await t.throwsAsync(store.removeLayer(chainId), { code: StatusCode.FAILED_PRECONDITION });
  t.is((await zfs.list(`${dataset}/rootfs`, ['type'])).length, 2);
  t.deepEqual(
    (await store.remains()).map(({ name }) => name),
    [`${dataset}/rootfs/c1`],
  );
  const [layer] = await store.describeLayers();
  t.like(layer, { chainId, parent: undefined, isUsed: true });
  t.true((layer?.bytes ?? 0n) > 0n);
  await file.close();
  await make().recover();
  t.is((await zfs.list(`${dataset}/rootfs`, ['type'])).length, 1);
  t.deepEqual([await store.remains(), (await store.describeLayers())[0]?.isUsed], [[], false]);
  await store.removeLayer(chainId);
});

test.serial('a user namespace sees its own ids', async (t) => {
  const { store, mount } = await newStore(t, 'mapped');
  const [chainId] = await applyAll(store, [tarOf({ name: 'file', uid: 7 })]);
  const path = await mount('c1', chainId, { ids: { hostId: 200_000, size: 65_536 } });
  t.like(await stat(path), { uid: 200_000, gid: 200_000 });
  t.like(await stat(join(path, 'file')), { uid: 200_007 });
  await chown(join(path, 'file'), 200_009, 200_009);
  t.like(await stat(join(await mount('plain', chainId), 'file')), { uid: 7 });
});

test.serial('a quota ends writes of one container only', async (t) => {
  const { store, dataset, mount } = await newStore(t, 'quota');
  const limits = { quotaBytes: 4n * 2n ** 20n, reservationBytes: 2n ** 20n };
  const [chainId] = await applyAll(store, [tarOf({ name: 'file', body: 'x' })]);
  const path = await mount('c1', chainId, { limits });
  const fill = run('dd', 'if=/dev/urandom', `of=${join(path, 'fill')}`, 'bs=1M', 'count=8', 'conv=fsync');
  await t.throwsAsync(fill, { message: /Disk quota exceeded/ });
  await writeFile(join(await mount('c2', chainId), 'more'), Buffer.alloc(2 ** 20, 'x'));
  await store.prepare('view', chainId, { limits, readonly: true });
  const names = ['c1', 'c2', 'view'].map((id) => `${dataset}/rootfs/${id}`);
  t.is(await run('zfs', 'get', '-Hpo', 'value', 'quota,reservation', ...names), '4194304\n1048576\n0\n0\n0\n0\n');
});

test.serial('datasets of others are named and left alone', async (t) => {
  const { store, dataset, make } = await newStore(t, 'foreign');
  const tar = tarOf({ name: 'file' });
  await run('zfs', 'create', `${dataset}/rootfs/c1`);
  await run('zfs', 'create', `${dataset}/layers/${sha256(tar).slice(7)}`);
  await run('zfs', 'create', `${dataset}/layers/notes`);
  for (const work of [() => store.prepare('c1', undefined), () => store.remove('c1'), () => applyAll(store, [tar])]) {
    await t.throwsAsync(work, {
      code: StatusCode.FAILED_PRECONDITION,
      message: /dataset tank\/foreign\/.* is in the way/,
    });
  }
  await make().recover();
  t.deepEqual([await make().list(), await make().listLayers()], [[], []]);
  t.is((await zfs.list(dataset, ['type'])).length, 8);
  const root = '/other';
  const second = new ZfsStore({ zfs, dataset, root, mounts: join(directory.path, 'second'), logger: silent });
  const message = /layers belongs to the server with root .*root-foreign; name another dataset/;
  await t.throwsAsync(second.recover(), { code: StatusCode.FAILED_PRECONDITION, message });
  const stolen = `${TANK}/stolen`;
  await run('zfs', 'create', '-p', `${stolen}/layers`);
  const other = new ZfsStore({ zfs, dataset: stolen, root, mounts: join(directory.path, 'stolen'), logger: silent });
  await t.throwsAsync(other.recover(), { message: /dataset tank\/stolen\/layers is in the way/ });
  const missing = new ZfsStore({
    zfs,
    dataset: `${TANK}/nowhere`,
    root,
    mounts: join(directory.path, 'no'),
    logger: silent,
  });
  await t.throwsAsync(missing.recover(), { message: /zfs create tank\/nowhere/ });
});

test.serial('a layer that fails leaves nothing', async (t) => {
  const { store, dataset, root, make } = await newStore(t, 'failed');
  const tar = tarOf({ name: 'file', body: 'x' });
  const request = { parent: undefined, chainId: sha256(tar), diffId: sha256(Buffer.from('other')) };
  const nothing = async (message: string) => {
    t.deepEqual((await zfs.list(`${dataset}/layers`, ['type'])).length, 2, message);
    t.deepEqual(await mountPointsBelow(join(root, 'zfs/work')), [], message);
    t.deepEqual(await store.listLayers(), [], message);
  };
  await withBlob(tar, async (blob) => {
    await t.throwsAsync(store.applyLayer({ ...request, blob }), { message: /has the digest/ });
    await nothing('wrong digest');
    const signal = AbortSignal.abort(new Error('enough'));
    await t.throwsAsync(store.applyLayer({ ...request, blob, signal }), { message: 'enough' });
    await nothing('cancelled');
    // As a killed server leaves it.
    await zfs.createFilesystem(`${dataset}/layers/${request.chainId.slice(7)}`, {
      settings: { 'proxmox-lxcri:kind': 'layer' },
    });
    await make().recover();
    await nothing('recovered');
  });
});

test.serial('a full pool ends pulls and creates and leaves nothing', async (t) => {
  const root = await makePool('small', '64M');
  t.teardown(() => run('zpool', 'destroy', '-f', 'small'));
  const { store, dataset, mount, remove } = await newStore(t, 'lxcri', {}, 'small');
  const [chainId] = await applyAll(store, [tarOf({ name: 'file' })]);
  const fill = join(await mount('c1', chainId), 'fill');
  const filled = run('dd', 'if=/dev/urandom', `of=${fill}`, 'bs=1M', 'count=64', 'conv=fsync');
  await t.throwsAsync(filled, { message: /No space left/ });
  await run('dd', 'if=/dev/urandom', `of=${join(root, 'fill')}`, 'bs=64k', 'count=64').catch(() => undefined);
  const datasets = () => run('zfs', 'list', '-Hro', 'name', '-t', 'all', dataset);
  const before = await datasets();
  const tar = tarOf({ name: 'big', body: randomBytes(6 * 2 ** 20).toString('hex') });
  const full = { code: StatusCode.RESOURCE_EXHAUSTED, message: /small\/lxcri\/.*: .*space.*pool small/ };
  await t.throwsAsync(applyAll(store, [tar]), full);
  await t.throwsAsync(store.prepare('c2', chainId), full);
  t.is(await datasets(), before);
  await remove('c1');
  await mount('c2', chainId);
  t.deepEqual(await store.list(), ['c2']);
});

// As versions before 2.3 print.
longTest('many containers share an image of many layers', async (t) => {
  const [layerCount, containerCount] = [
    Number(process.env['ZFS_LAYERS'] ?? 6),
    Number(process.env['ZFS_CONTAINERS'] ?? 15),
  ];
  const { store, dataset, mount, remove } = await newStore(t, 'many', { zfs: zfsClient('lines').zfs });
  const datasets = () => run('zfs', 'list', '-Hro', 'name', '-t', 'all', dataset);
  const before = await datasets();
  const tars = Array.from({ length: layerCount }, (_, index) => tarOf({ name: `layer-${index}`, body: `${index}` }));
  const chain = await applyAll(store, tars);
  const top = chain.at(-1) ?? '';
  const ids = Array.from({ length: containerCount }, (_, index) => `c${index}`);
  await forEach(ids, 8, async (id) => {
    await store.prepare(id, top);
  });
  t.deepEqual((await store.list()).sort(), ids.toSorted());
  t.deepEqual(
    await Promise.all(ids.map(async (id) => (await store.usage(id)) !== undefined)),
    ids.map(() => true),
  );
  t.is(await readFile(join(await mount('c14', top), 'layer-0'), 'utf8'), '0');
  const origin = await zfs.get([`${dataset}/rootfs/c7`], ['origin']);
  t.is(origin[0] && valueOf(origin[0], 'origin'), `${dataset}/layers/${top.slice(7)}@layer`);
  await forEach(ids, 8, remove);
  for (const chainId of chain.toReversed()) await store.removeLayer(chainId);
  t.is(await datasets(), before);
});
