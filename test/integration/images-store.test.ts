import anyTest from 'ava';
import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { lstat, mkdir, readdir, readFile, readlink, realpath, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { CriError, StatusCode } from '../../src/core/model/errors.ts';
import { run } from '../../src/host/processes/run.ts';
import { readTar } from '../../src/utils/tar/reader.ts';
import { sha256, tarOf } from '../unit/integrations/oci/image-builder.ts';
import { eventually } from '../lib/eventually.ts';
import { isMounted, mountPointsBelow } from '../lib/mounts.ts';
import { hostileEntries } from '../unit/host/layers/hostile.ts';
import { makeDeep } from '../unit/host/trees/deep-tree.ts';
import {
  applyAll,
  isSandboxed,
  layers,
  mountCopy,
  mountsOf,
  newStore,
  removeCopy,
  temporary,
  withBlob,
} from './images-fixture.ts';

const test = isSandboxed ? anyTest.serial : anyTest.serial.skip;

/** Everything below a directory: mode, owner, size, time, device and link target by path. */
async function snapshot(directory: string): Promise<string> {
  const { stdout } = await run('find', [directory, '-printf', '%p %y %m %U:%G %s %T@ %l %i\n']);
  return createHash('sha256').update(stdout.split('\n').sort().join('\n')).digest('hex');
}

test('Whiteouts, opaque directories and replacements show in the mount', async (t) => {
  const store = await newStore(await temporary(t));
  const chain = await applyAll(
    store,
    layers(
      [
        { name: './', type: 'directory', mode: 0o755 },
        { name: 'etc/', type: 'directory', mode: 0o750, uid: 3 },
        { name: 'etc/old', body: 'old' },
        { name: 'etc/kept', body: 'kept' },
        { name: 'opaque/one' },
        { name: 'opaque/sub/two' },
        { name: 'gone/deep/file' },
        { name: 'replaced/by/file' },
        { name: 'link', type: 'symlink', linkName: 'etc' },
      ],
      [
        { name: 'etc/.wh.old' },
        { name: 'opaque/.wh..wh..opq' },
        { name: 'opaque/three', body: '3' },
        { name: '.wh.gone' },
        { name: '.wh.replaced' },
        { name: 'replaced', body: 'now a file' },
        { name: 'link/', type: 'directory' },
        { name: 'link/inside', body: 'i' },
      ],
    ),
  );
  const path = await mountCopy(store, 'c1', chain[1]);
  t.deepEqual((await readdir(path)).sort(), ['etc', 'link', 'opaque', 'replaced']);
  t.deepEqual((await readdir(join(path, 'etc'))).sort(), ['kept']);
  t.deepEqual(await readdir(join(path, 'opaque')), ['three']);
  t.is(await readFile(join(path, 'replaced'), 'utf8'), 'now a file');
  t.is(await readFile(join(path, 'link/inside'), 'utf8'), 'i');
  t.like(await lstat(join(path, 'etc')), { uid: 3 });
  t.is((await lstat(join(path, 'etc'))).mode & 0o7777, 0o750);
  const below = await mountCopy(store, 'c2', chain[0]);
  t.is(await readFile(join(below, 'etc/old'), 'utf8'), 'old');

  const cut = await applyAll(
    store,
    layers([{ name: 'a' }], [{ name: '.wh..wh..opq' }, { name: 'b' }], [{ name: 'c' }]),
  );
  t.deepEqual((await readdir(await mountCopy(store, 'c3', cut[2]))).sort(), ['b', 'c']);
  t.deepEqual(await readdir(await mountCopy(store, 'c4', undefined)), []);
  for (const id of await store.list()) await removeCopy(store, id);
});

test('Layers keep owners, modes, times, devices, links and xattrs', async (t) => {
  const root = await temporary(t);
  const store = await newStore(root);
  const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex');
  const [chainId] = await applyAll(
    store,
    layers([
      { name: 'suid', mode: 0o4755, uid: 70_000, gid: 70_001, mtime: '1234567890.5' },
      { name: 'tmp/', type: 'directory', mode: 0o1777, mtime: '1000000001' },
      { name: 'tmp/x', body: 'x' },
      { name: 'null', type: 'character', mode: 0o666, deviceMajor: 1, deviceMinor: 3 },
      { name: 'disk', type: 'block', mode: 0o600, deviceMajor: 7, deviceMinor: 0 },
      { name: 'pipe', type: 'fifo', mode: 0o600 },
      { name: 'hard', type: 'hardlink', linkName: 'suid' },
      { name: 'abs', type: 'symlink', linkName: '/etc/passwd' },
      { name: 'ping', xattrs: new Map([['security.capability', capability]]) },
      { name: 'caf\xc3\xa9 \xff', body: 'bytes' },
      { name: `${'long/'.repeat(40)}name`, body: 'deep' },
    ]),
  );
  const path = await mountCopy(store, 'c1', chainId);
  const suid = await lstat(join(path, 'suid'));
  t.is(suid.mode & 0o7777, 0o4755);
  t.like(suid, { uid: 70_000, gid: 70_001, mtimeMs: 1_234_567_890_500, nlink: 2 });
  t.is((await lstat(join(path, 'tmp'))).mode & 0o7777, 0o1777);
  t.is((await lstat(join(path, 'tmp'))).mtimeMs, 1_000_000_001_000);
  t.true((await lstat(join(path, 'null'))).isCharacterDevice());
  t.is((await lstat(join(path, 'null'))).rdev, 0x103);
  t.true((await lstat(join(path, 'disk'))).isBlockDevice());
  t.true((await lstat(join(path, 'pipe'))).isFIFO());
  t.is(await readlink(join(path, 'abs')), '/etc/passwd');
  t.is(await readFile(join(path, 'long/'.repeat(40), 'name'), 'utf8'), 'deep');
  const names = await readdir(Buffer.from(path), { encoding: 'buffer' });
  t.true(names.some((name) => name.equals(Buffer.from('caf\xc3\xa9 \xff', 'latin1'))));
  const { stdout } = await run('sh', [
    '-c',
    'tar -C "$1" --xattrs --xattrs-include="*" -cf - ping | base64',
    '-',
    path,
  ]);
  for await (const { entry } of readTar(Readable.from([Buffer.from(stdout, 'base64')], { objectMode: false }))) {
    t.deepEqual(entry.xattrs.get('security.capability'), capability);
  }
  await removeCopy(store, 'c1');
});

test('No hostile layer writes outside its directory', async (t) => {
  const root = await temporary(t);
  const canary = join(root, 'store/tmp/canary');
  const store = await newStore(join(root, 'store'));
  // The target of a name that climbs two directories from a partially applied layer.
  await mkdir(canary, { recursive: true });
  for (const name of ['a', 'b', 'c']) await writeFile(join(canary, name), 'untouched');
  const before = [await snapshot(canary), await snapshot('/etc')];
  let applied = 0;
  for (const specs of fc.sample(hostileEntries, { numRuns: 1200, seed: 20_263 })) {
    const tar = tarOf(...specs);
    const digest = sha256(tar);
    try {
      const layer = { parent: undefined, chainId: digest, diffId: digest };
      await withBlob(tar, (blob) => store.applyLayer({ ...layer, blob }));
      applied++;
    } catch (error) {
      t.true(error instanceof CriError && error.code === StatusCode.INVALID_ARGUMENT, String(error));
    }
  }
  t.true(applied > 100, `${applied} layers were applied`);
  t.deepEqual([await snapshot(canary), await snapshot('/etc')], before);
  t.deepEqual((await readdir(root)).sort(), ['store']);
  await store.emptied();
  t.deepEqual((await readdir(join(root, 'store'))).sort(), ['l', 'layers', 'removed', 'tmp']);
  t.deepEqual(await readdir(join(root, 'store/removed')), []);
  t.deepEqual(await readdir(join(root, 'store/tmp')), ['canary']);
  t.is((await readdir(join(root, 'store/l'))).length, (await store.listLayers()).length);
});

test('An image can have 120 layers', async (t) => {
  const store = await newStore(await temporary(t));
  const many = layers(...Array.from({ length: 120 }, (_, i) => [{ name: `f${i}` }, { name: 'top', body: String(i) }]));
  const chain = await applyAll(store, many);
  const path = await mountCopy(store, 'c1', chain.at(-1));
  t.is((await readdir(path)).length, 121);
  t.is(await readFile(join(path, 'top'), 'utf8'), '119');
  await removeCopy(store, 'c1');
});

test('A layer with a wrong digest leaves nothing', async (t) => {
  const root = await temporary(t);
  const store = await newStore(root);
  const tar = tarOf({ name: 'a', body: 'x'.repeat(100_000) });
  const layer = { parent: undefined, chainId: sha256(tar), diffId: sha256(tar) };
  const apply = (data: Buffer, diffId = sha256(tar)) =>
    withBlob(data, (blob) => store.applyLayer({ ...layer, diffId, blob }));
  const wrong = await t.throwsAsync(apply(tar, sha256('else')), { instanceOf: CriError });
  t.is(wrong?.code, StatusCode.INVALID_ARGUMENT);
  await t.throwsAsync(apply(tar.subarray(0, 5000)), { instanceOf: CriError });
  await t.throwsAsync(apply(Buffer.from('no tar at all'.repeat(100))), { instanceOf: CriError });
  await t.throwsAsync(apply(gzipSync(tar).subarray(0, 60)), { instanceOf: CriError, message: /unexpected end/ });
  const abort = new AbortController();
  const reason = new Error('deadline');
  const large = tarOf({ name: 'large', size: 8 * 2 ** 30 });
  await withBlob(large, async (blob) => {
    await truncate(blob, 8 * 2 ** 30 + 2048);
    const applying = store.applyLayer({ ...layer, blob, signal: abort.signal });
    applying.catch(() => undefined);
    const begun = async () => (await run('find', [join(root, 'tmp'), '-name', 'large'])).stdout !== '';
    await eventually('the first of it', begun);
    abort.abort(reason);
    t.is(await t.throwsAsync(applying), reason);
  });
  t.deepEqual(await store.listLayers(), []);
  t.deepEqual([await readdir(join(root, 'tmp')), await readdir(join(root, 'layers'))], [[], []]);
  await apply(gzipSync(tar));
  t.deepEqual(await store.listLayers(), [sha256(tar)]);
});

test('Snapshots are reusable, counted and protect their layers', async (t) => {
  const root = await temporary(t);
  const store = await newStore(root);
  const chain = await applyAll(store, layers([{ name: 'a', body: 'lower' }], [{ name: 'b' }]));
  const prepared = await Promise.all([store.prepare('c1', chain[1]), store.prepare('c1', chain[1])]);
  t.deepEqual(prepared[0], prepared[1]);
  t.deepEqual(await store.get('c1'), prepared[0]);
  t.is(await store.get('c2'), undefined);
  const [first, second] = await Promise.all([mountCopy(store, 'c1', chain[1]), mountCopy(store, 'c1', chain[1])]);
  t.is(first, second);
  t.deepEqual(await store.usage('c1'), { bytes: 0n, inodes: 0n });
  await writeFile(join(first, 'big'), Buffer.alloc(1_000_000, 1));
  await run('ln', [join(first, 'big'), join(first, 'same')]);
  const usage = await store.usage('c1');
  t.is(usage?.inodes, 1n);
  t.true(usage!.bytes >= 1_000_000n && usage!.bytes < 1_100_000n, String(usage?.bytes));
  // Two layers of one file each, including their root directories.
  t.is((await store.fsUsage()).inodes, 4n);
  t.is(await store.usage('c2'), undefined);
  t.deepEqual(await store.list(), ['c1']);
  for (const chainId of chain) {
    t.is(
      (await t.throwsAsync(store.removeLayer(chainId), { instanceOf: CriError }))?.code,
      StatusCode.FAILED_PRECONDITION,
    );
  }
  t.is(
    (await t.throwsAsync(store.prepare('c1', chain[0]), { instanceOf: CriError }))?.code,
    StatusCode.INVALID_ARGUMENT,
  );
  t.is(
    (await t.throwsAsync(store.prepare('../c', chain[0]), { instanceOf: CriError }))?.code,
    StatusCode.INVALID_ARGUMENT,
  );
  t.is((await t.throwsAsync(store.prepare('c3', sha256('?')), { instanceOf: CriError }))?.code, StatusCode.NOT_FOUND);
  // A process with open files does not prevent the removal of a container.
  await Promise.all([removeCopy(store, 'c1'), removeCopy(store, 'c1'), removeCopy(store, 'never')]);
  t.false(await isMounted(first));
  t.deepEqual(await store.list(), []);
  await store.removeLayer(chain[1]!);
  await store.removeLayer(chain[1]!);
  await store.removeLayer(chain[0]!);
  t.deepEqual(await readdir(join(root, 'tmp')), []);
  t.deepEqual(await readdir(join(root, 'l')), []);
});

test('A snapshot survives a reboot; incomplete ones are removed', async (t) => {
  const root = await temporary(t);
  const before = await newStore(root);
  const [chainId] = await applyAll(before, layers([{ name: 'a' }]));
  const path = await mountCopy(before, 'kept', chainId);
  await before.prepare('other', chainId);
  await writeFile(join(path, 'written'), 'x');
  await run('umount', ['--', path]);
  await mkdir(join(root, 'containers/half/upper'), { recursive: true });
  await mkdir(join(root, 'tmp/layer-half/fs'), { recursive: true });
  await mkdir(join(root, 'layers', 'f'.repeat(64), 'fs'), { recursive: true });
  await run('rm', ['-r', join(root, 'l')]);
  const after = await newStore(root);
  const mounts = mountsOf(after);
  t.deepEqual(await mounts.list(), [{ id: 'kept', isMounted: false }]);
  t.is(await mounts.mount('kept', (await after.get('kept'))!), path);
  t.deepEqual(await mounts.list(), [{ id: 'kept', isMounted: true }]);
  t.is(await readFile(join(path, 'written'), 'utf8'), 'x');
  t.true(await isMounted(path));
  t.deepEqual(await readdir(join(root, 'tmp')), []);
  t.deepEqual((await after.list()).sort(), ['kept', 'other']);
  t.deepEqual(await after.listLayers(), [chainId]);
  t.deepEqual(await readdir(join(root, 'layers')), [chainId!.slice(7)]);
  await removeCopy(after, 'kept');
  await removeCopy(after, 'other');
  await after.removeLayer(chainId!);
});

test('Root filesystems below a symlink are mounted and unmounted', async (t) => {
  const directory = await temporary(t);
  await mkdir(join(directory, 'real'));
  await symlink('real', join(directory, 'link'));
  const store = await newStore(join(directory, 'link'));
  for (let turn = 0; turn < 2; turn++) {
    const path = await mountCopy(store, 'copy', undefined);
    t.true(await isMounted(await realpath(path)));
  }
  t.deepEqual(await mountsOf(store).list(), [{ id: 'copy', isMounted: true }]);
  t.is((await mountPointsBelow(directory)).length, 1);
  await removeCopy(store, 'copy');
  t.deepEqual(await mountPointsBelow(directory), []);
});

test('Paths beyond PATH_MAX are counted, removed and recovered', async (t) => {
  const root = await temporary(t);
  const store = await newStore(root);
  const [chainId] = await applyAll(store, layers([{ name: 'a' }]));
  const path = await mountCopy(store, 'deep', chainId);
  await makeDeep(path);
  await store.prepare('damaged', chainId);
  await writeFile(join(root, 'containers/damaged/rootfs.json'), '{');
  t.is((await store.usage('deep'))?.inodes, 201n);
  await removeCopy(store, 'deep');
  t.deepEqual(await store.list(), ['damaged']);

  // Partial work of a killed server.
  for (const name of ['tmp/layer-half/fs', 'containers/half/upper', 'removed/left']) await makeDeep(join(root, name));
  await makeDeep(join(root, 'layers', 'f'.repeat(64), 'fs'));
  const after = await newStore(root);
  await after.recover();
  await Promise.all([store.emptied(), after.emptied()]);
  t.deepEqual(await after.list(), ['damaged']);
  t.deepEqual(await after.listLayers(), [chainId]);
  for (const name of ['tmp', 'removed']) t.deepEqual(await readdir(join(root, name)), []);
  t.is(
    (await t.throwsAsync(after.removeLayer(chainId!), { instanceOf: CriError }))?.code,
    StatusCode.FAILED_PRECONDITION,
  );
});

test('A whiteout without a lower file stays invisible', async (t) => {
  const store = await newStore(await temporary(t));
  const chain = await applyAll(
    store,
    layers(
      [{ name: 'a/x' }, { name: 'o/b/x' }, { name: 'm/x' }],
      [
        { name: 'a/', type: 'directory' },
        { name: 'a/.wh..wh..opq' },
        { name: 'a/.wh.x' },
        { name: 'a/z' },
        { name: 'new/.wh.x' },
        { name: 'o/.wh..wh..opq' },
        { name: 'm/.wh.x' },
      ],
      // Below here o/b is hidden: this whiteout has nothing left to hide.
      [{ name: 'o/b/.wh.x' }, { name: 'o/b/z' }],
    ),
  );
  const path = await mountCopy(store, 'c1', chain[2]);
  const { stdout } = await run('find', [path, '-mindepth', '1', '-printf', '%P %y\n']);
  t.deepEqual(stdout.trim().split('\n').sort(), ['a d', 'a/z f', 'm d', 'o d', 'o/b d', 'o/b/z f']);
  const first = await mountCopy(store, 'c2', chain[1]);
  t.deepEqual(await readdir(join(first, 'm')), []);
  const alone = await applyAll(store, layers([{ name: '.wh.x' }, { name: 'd/.wh.x' }, { name: 'd/y' }]));
  t.deepEqual((await readdir(await mountCopy(store, 'c3', alone[0]))).sort(), ['d']);
  for (const id of await store.list()) await removeCopy(store, id);
});

test('A damaged layer in use is kept', async (t) => {
  const root = await temporary(t);
  const store = await newStore(root);
  const tars = layers([{ name: 'a', body: 'content' }]);
  const [chainId] = await applyAll(store, tars);
  const path = await mountCopy(store, 'c1', chainId);
  const file = join(root, 'layers', chainId!.slice(7), 'layer.json');
  const good = await readFile(file, 'utf8');
  await writeFile(file, good.replace(/"format": 1/, '"format": 2'));
  const refused = await t.throwsAsync(newStore(root), { instanceOf: CriError });
  t.true(refused?.message.includes(file), refused?.message);
  t.is(await readFile(join(path, 'a'), 'utf8'), 'content');

  await writeFile(file, good.slice(0, 40));
  const after = await newStore(root);
  await after.emptied();
  t.is(await readFile(join(path, 'a'), 'utf8'), 'content');
  t.deepEqual(await after.listLayers(), []);
  t.deepEqual(await applyAll(after, tars), [chainId]);
  await removeCopy(after, 'c1');
  const last = await newStore(root);
  await last.emptied();
  t.deepEqual(await readdir(join(root, 'layers')), [chainId!.slice(7)]);
});
