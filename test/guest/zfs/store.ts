import { randomBytes } from 'node:crypto';
import { chown, mkdtemp, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { mountRootfs, removeRootfs } from '../../../src/core/lifecycle/rootfs-place.ts';
import { StatusCode } from '../../../src/core/model/errors.ts';
import { HostRootfsMounts } from '../../../src/host/platform/rootfs-mounts.ts';
import { valueOf } from '../../../src/integrations/zfs/answers/properties.ts';
import { zfsClient } from '../../../src/integrations/zfs/client.ts';
import { ZfsStore } from '../../../src/integrations/zfs/store/zfs-store.ts';
import { OverlayStore } from '../../../src/integrations/overlayfs/overlay-store.ts';
import { type EntrySpec, sha256, tarOf } from '../../unit/integrations/oci/image-builder.ts';
import { applyAll, silent, withBlob } from '../../integration/images-fixture.ts';
import { mountPointsBelow } from '../../lib/mounts.ts';
import { directory, makePool, run, TANK, zfs } from './pools.ts';
import { newStore } from './store-fixture.ts';

/** Everything of a tree, by an independent walker: names, types, owners, modes, times, attributes, links and content. */
async function tarOfTree(path: string): Promise<string> {
  const how = ['--format=posix', '--pax-option=delete=atime,delete=ctime', '--sort=name', '--numeric-owner'];
  const attributes = ['--xattrs', '--xattrs-include=*', '--sparse'];
  const file = `${await mkdtemp(join(tmpdir(), 'tree-'))}/tar`;
  await run('tar', ...how, ...attributes, '-C', path, '-cf', file, '.');
  return file;
}

const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex');
const IMAGE: EntrySpec[][] = [
  [
    { name: './', type: 'directory', mode: 0o711, uid: 5, mtime: '1111111111.5' },
    { name: 'etc/', type: 'directory', mode: 0o750, uid: 3, mtime: '1234567890.25' },
    { name: 'etc/old', body: 'old' },
    { name: 'etc/kept', body: 'kept', mtime: '1000000000.123456789' },
    { name: 'opaque/one' },
    { name: 'opaque/sub/two' },
    { name: 'gone/deep/file' },
    { name: 'replaced/by/file' },
    { name: 'file', body: 'becomes a directory' },
    { name: 'link', type: 'symlink', linkName: 'etc' },
    { name: 'through', type: 'symlink', linkName: 'etc' },
    { name: 'suid', mode: 0o4755, uid: 70_000, gid: 70_001, mtime: '1234567890.5' },
    { name: 'hard', type: 'hardlink', linkName: 'suid' },
    { name: 'null', type: 'character', mode: 0o666, deviceMajor: 1, deviceMinor: 3 },
    { name: 'disk', type: 'block', mode: 0o600, deviceMajor: 7, deviceMinor: 0 },
    { name: 'pipe', type: 'fifo', mode: 0o600 },
    { name: 'ping', xattrs: new Map([['security.capability', capability]]) },
    { name: 'attributes/', type: 'directory', xattrs: new Map([['user.below', Buffer.from('1')]]) },
    { name: 'attributes/x', body: 'x' },
    { name: 'caf\xc3\xa9 \xff', body: 'bytes' },
    { name: `${'long/'.repeat(40)}name`, body: 'deep' },
    { name: 'sticky/', type: 'directory', mode: 0o1777, mtime: '1000000001' },
  ],
  [
    { name: 'etc/.wh.old' },
    { name: 'etc/.wh.nothing' },
    { name: 'opaque/.wh..wh..opq' },
    { name: 'opaque/three', body: '3' },
    { name: '.wh.gone' },
    { name: '.wh.replaced' },
    { name: 'replaced', body: 'now a file' },
    { name: 'file/', type: 'directory' },
    { name: 'file/inside', body: 'i' },
    { name: 'link/', type: 'directory' },
    { name: 'link/inside', body: 'i' },
    { name: 'through/etc', body: 'the link becomes a directory' },
    { name: 'suid', body: 'a copy of its own' },
    {
      name: 'attributes/',
      type: 'directory',
      mtime: '1000000002.5',
      xattrs: new Map([['user.above', Buffer.from('2')]]),
    },
    { name: 'sticky/y', body: 'y', mtime: '1000000003' },
  ],
  [{ name: 'long/long/.wh.long' }, { name: 'sticky/.wh.y' }, { name: 'etc/new', body: 'new' }],
];

test.serial('the same image gives the same tree on both stores', async (t) => {
  const { store, mount } = await newStore(t, 'same');
  const root = await mkdtemp(join(tmpdir(), 'overlay-'));
  const overlay = new OverlayStore({ root, logger: silent });
  await overlay.recover();
  const other = { store: overlay, mounts: new HostRootfsMounts(join(root, 'mounts')) };
  const tars = IMAGE.map((layer) => tarOf(...layer));
  const chain = await applyAll(store, tars);
  t.deepEqual(await applyAll(overlay, tars), chain);
  for (const [index, chainId] of chain.entries()) {
    const id = `c${String(index)}`;
    const paths = [await mount(id, chainId), await mountRootfs(other, id, chainId)];
    const [ours = '', theirs = ''] = await Promise.all(paths.map(tarOfTree));
    const isSame = (await readFile(ours)).equals(await readFile(theirs));
    if (!isSame) {
      const lists = await Promise.all([ours, theirs].map((file) => run('tar', '--xattrs', '-tvvf', file)));
      t.is(lists[0], lists[1], `layer ${String(index)}`);
    }
    t.true(isSame, `layer ${String(index)}`);
    await removeRootfs(other, id);
  }
  await rm(root, { recursive: true });
});

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
test.serial('many containers share an image of many layers', async (t) => {
  const { store, mount } = await newStore(t, 'many', { zfs: zfsClient('lines').zfs });
  const tars = Array.from({ length: 6 }, (_, index) => tarOf({ name: `layer-${String(index)}`, body: String(index) }));
  const top = (await applyAll(store, tars)).at(-1);
  const ids = Array.from({ length: 15 }, (_, index) => `c${String(index)}`);
  await Promise.all(ids.map((id) => store.prepare(id, top)));
  t.is((await store.list()).length, 15);
  t.deepEqual(
    await Promise.all(ids.map(async (id) => (await store.usage(id)) !== undefined)),
    ids.map(() => true),
  );
  t.is(await readFile(join(await mount('c14', top), 'layer-0'), 'utf8'), '0');
  const origin = await zfs.get([`${TANK}/many/rootfs/c7`], ['origin']);
  t.is(origin[0] && valueOf(origin[0], 'origin'), `${TANK}/many/layers/${(top ?? '').slice(7)}@layer`);
});
