import fc from 'fast-check';
import { link, mkdir, mkdtemp, open, readFile, rm, stat, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { mountRootfs, removeRootfs } from '../../../src/core/lifecycle/rootfs-place.ts';
import { CriError } from '../../../src/core/model/errors.ts';
import type { RootfsStore } from '../../../src/core/model/rootfs.ts';
import { HostRootfsMounts } from '../../../src/host/platform/rootfs-mounts.ts';
import { OverlayStore } from '../../../src/integrations/overlayfs/overlay-store.ts';
import { PROPERTY_SEED } from '../../lib/property-seed.ts';
import { applyAll, silent } from '../../integration/images-fixture.ts';
import { hostileEntries } from '../../unit/host/layers/hostile.ts';
import { type EntrySpec, tarOf } from '../../unit/integrations/oci/image-builder.ts';
import { longTest, run } from './pools.ts';
import { newStore } from './store-fixture.ts';

/** Random hostile layers. */
const RANDOM = Number(process.env['ZFS_TREES'] ?? 8);

/** Everything of a tree, by an independent walker: names, types, owners, modes, times, attributes, links and content. */
async function tarOfTree(path: string): Promise<string> {
  const how = ['--format=posix', '--pax-option=delete=atime,delete=ctime', '--sort=name', '--numeric-owner'];
  // Without --sparse: filesystems have holes in blocks of different sizes.
  const attributes = ['--xattrs', '--xattrs-include=*'];
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

/** A layer as GNU tar writes it, with a file that is sparse in the archive. */
async function sparseLayer(): Promise<Buffer> {
  const work = await mkdtemp(join(tmpdir(), 'sparse-'));
  try {
    await mkdir(join(work, 'tree'));
    const file = join(work, 'tree/sparse');
    await using handle = await open(file, 'w');
    await handle.write('begin', 0);
    await handle.write('middle', 5 * 2 ** 20);
    await truncate(file, SPARSE_BYTES);
    await link(file, join(work, 'tree/same'));
    await run('tar', '--sparse', '--format=posix', '-C', join(work, 'tree'), '-cf', join(work, 'tar'), '.');
    return await readFile(join(work, 'tar'));
  } finally {
    await rm(work, { recursive: true });
  }
}
const SPARSE_BYTES = 16 * 2 ** 20;

/** Bytes that the sparse file of {@link sparseLayer} uses; 0 where there is none. */
async function spaceOfSparse(root: string): Promise<number> {
  const status = await stat(join(root, 'sparse')).catch(() => undefined);
  return (status?.blocks ?? 0) * 512;
}

/** Both stores, and what compares them. */
async function bothStores(t: ExecutionContext, name: string) {
  const { store, mount, remove } = await newStore(t, name);
  const root = await mkdtemp(join(tmpdir(), 'overlay-'));
  t.teardown(() => rm(root, { recursive: true }));
  const overlay = new OverlayStore({ root, logger: silent });
  await overlay.recover();
  const other = { store: overlay, mounts: new HostRootfsMounts(join(root, 'mounts')) };
  /** Asserts that a layer with those below it has the same tree in both. */
  const compare = async (id: string, chainId: string) => {
    const paths = [await mount(id, chainId), await mountRootfs(other, id, chainId)];
    const tars = await Promise.all(paths.map(tarOfTree));
    const [ours = '', theirs = ''] = tars;
    const isSame = (await readFile(ours)).equals(await readFile(theirs));
    if (!isSame) {
      const lists = await Promise.all(tars.map((file) => run('tar', '--xattrs', '-tvvf', file)));
      t.is(lists[0], lists[1], id);
    }
    t.true(isSame, id);
    const sizes = await Promise.all(paths.map(spaceOfSparse));
    t.true(Math.max(...sizes) < SPARSE_BYTES / 8, `${id}: ${sizes.join(' and ')} bytes`);
    for (const file of tars) await rm(dirname(file), { recursive: true });
    await remove(id);
    await removeRootfs(other, id);
  };
  return { store, overlay, compare };
}

test.serial('the same image gives the same tree on both stores', async (t) => {
  const { store, overlay, compare } = await bothStores(t, 'same');
  const tars = [...IMAGE.map((layer) => tarOf(...layer)), await sparseLayer()];
  const chain = await applyAll(store, tars);
  t.deepEqual(await applyAll(overlay, tars), chain);
  for (const [index, chainId] of chain.entries()) await compare(`layer-${index}`, chainId);
});

/** The chain ids of these layers, or why they are refused. */
async function verdict(store: RootfsStore, tars: readonly Buffer[]): Promise<string[]> {
  try {
    return await applyAll(store, tars);
  } catch (error) {
    if (error instanceof CriError) return [`${error.code}: ${error.message}`];
    throw error;
  }
}

longTest('hostile images are refused or the same on both stores', async (t) => {
  const { store, overlay, compare } = await bothStores(t, 'hostile');
  const base = tarOf({ name: 'a/b/c', body: 'x' }, { name: 'b/a/', type: 'directory' }, { name: 'c', body: 'y' });
  for (const [index, entries] of fc.sample(hostileEntries, { numRuns: RANDOM, seed: PROPERTY_SEED }).entries()) {
    const tars = [base, tarOf(...entries)];
    const ours = await verdict(store, tars);
    t.deepEqual(ours, await verdict(overlay, tars), JSON.stringify(entries));
    const [, top] = ours;
    if (top === undefined) continue;
    await compare(`random-${index}`, top);
    for (const each of [store, overlay]) await each.removeLayer(top);
  }
});
