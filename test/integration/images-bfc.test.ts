import anyTest from 'ava';
import { mkdir, readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { CriError, StatusCode } from '../../src/core/model/errors.ts';
import { openBfc } from '../../src/integrations/bfc/reader.ts';
import { pack as packBfc } from '../../src/bfc-files/pack.ts';
import { run } from '../../src/host/processes/run.ts';
import { packImages } from '../fixtures/bfc/pack-image.ts';
import { eventually } from '../lib/eventually.ts';
import { sha256 } from '../unit/integrations/oci/image-builder.ts';
import {
  base,
  failure,
  image,
  isClosed,
  KEY,
  large,
  leavesNothing,
  NAME,
  service,
  stoppingAmid,
} from './bfc-fixture.ts';
import { isSandboxed, mountCopy, removeCopy, writeLayout } from './images-fixture.ts';

const test = isSandboxed ? anyTest.serial : anyTest.serial.skip;

for (const [kind, compress] of [
  ['plain', undefined],
  ['gzip', gzipSync],
  ['zstd', zstdCompressSync],
] as const) {
  test(`An encrypted BFC file with ${kind} layers is unpacked in place`, async (t) => {
    const made = await service(t);
    const { images, store, directory, root } = made;
    const built = image('one', compress);
    const path = await packImages(join(directory, 'a.bfc'), { [NAME]: built }, { secret: { kind: 'key', key: KEY } });
    const credentials = { username: 'bfc-key', password: KEY.toString('base64') };
    const staged = join(root, 'content/incoming');
    const id = await images.pull(NAME, credentials);
    t.deepEqual(await readdir(staged).catch(() => 'never made'), 'never made');
    t.is(id, built.configDigest);
    t.deepEqual(images.status(NAME)?.repoDigests, [`r.example/team/app@${built.manifestDigest}`]);
    await rm(path);
    const mounted = await mountCopy(store, 'c1', images.status(NAME)?.chainId);
    t.is(await readFile(join(mounted, 'app/name'), 'utf8'), 'one');
    t.is(await readFile(join(mounted, 'app/large'), 'utf8'), large);
    await removeCopy(store, 'c1');
    const gone = await failure(t, images.pull(`r.example/team/app@${built.manifestDigest}`));
    t.is(gone?.code, StatusCode.NOT_FOUND);
  });
}

test('A pull by address names a file and an image in it', async (t) => {
  const made = await service(t);
  const { images, directory } = made;
  const [one, two] = [image('one'), image('two')];
  const path = await packImages(join(directory, 'a.bfc'), { [NAME]: one, busybox: two, 'localhost/b': two });
  const address = `bfc://${path}`;
  const several = await failure(t, images.pull(address));
  t.is(several?.code, StatusCode.INVALID_ARGUMENT);
  t.regex(several?.message ?? '', /has 2 images; append ":" and the name of one: .*team\/app:v1/);
  const unknown = await failure(t, images.pull(`${address}:no/such:tag`));
  t.is(unknown?.code, StatusCode.NOT_FOUND);
  t.regex(unknown?.message ?? '', /no image of that name: .*team\/app:v1.*localhost\/b/);
  await leavesNothing(t, made);
  t.is(await images.pull(`${address}:localhost/b`), two.configDigest);
  t.deepEqual(images.list()[0]?.repoTags, ['localhost/b:latest']);
  t.is(images.status(`${address}:localhost/b`)?.id, two.configDigest);
  t.is(await images.pull(NAME), one.configDigest);
  for (const bad of [
    'bfc://a.bfc',
    'bfc:///x',
    'bfc:///x.bfc:a b',
    'bfc://nas:/x.bfc',
    'bfc://nas:x',
    'ftp:///x.bfc',
  ]) {
    const error = await failure(t, images.pull(bad));
    t.is(error?.code, StatusCode.INVALID_ARGUMENT, bad);
  }
});

test('Only files below the directory can be pulled', async (t) => {
  const made = await service(t);
  const { images, directory, top } = made;
  const outside = await packImages(join(top, 'outside.bfc'), { [NAME]: image('one') });
  await symlink(outside, join(directory, 'link.bfc'));
  for (const path of [outside, '/no/such.bfc', `${directory}/../outside.bfc`, join(directory, 'link.bfc')]) {
    const error = await failure(t, images.pull(`bfc://${path}`));
    t.is(error?.code, StatusCode.PERMISSION_DENIED, path);
    t.true(error?.message.includes(`below bfc.directory, ${directory},`), error?.message);
  }
  const absent = await failure(t, images.pull(`bfc://${directory}/no.bfc`));
  t.is(absent?.code, StatusCode.NOT_FOUND);
  await leavesNothing(t, made);
  t.is((await images.import(outside)).length, 1);
});

test('A pull by address names a storage of Proxmox', async (t) => {
  const asked: string[] = [];
  let nas = '';
  const storageDirectory = async (storage: string) => {
    asked.push(storage);
    if (storage === 'nas') return nas;
    throw new CriError(StatusCode.UNAVAILABLE, `storage ${storage} is not active`);
  };
  const made = await service(t, { directory: '', storageDirectory });
  const { images, top } = made;
  nas = join(top, 'bfc');
  const [one, two] = [image('one'), image('two')];
  await mkdir(join(nas, 'site'));
  await packImages(join(nas, 'site/a.bfc'), { [NAME]: one, 'localhost/b': two });
  await packImages(join(top, 'outside.bfc'), { [NAME]: one });
  await symlink('../outside.bfc', join(nas, 'out.bfc'));
  await symlink('site/a.bfc', join(nas, 'in.bfc'));
  for (const [address, code, words] of [
    ['bfc://nas:../outside.bfc', 7, `only those below the directory of storage nas, ${nas}, are`],
    ['bfc://nas:out.bfc', 7, `only those below the directory of storage nas, ${nas}, are`],
    ['bfc://nas:no.bfc', 5, `there is no file "${nas}/no.bfc"`],
    ['bfc://nas:site/a.bfc', 3, 'has 2 images; append ":" and the name of one'],
    ['bfc://off:a.bfc', 14, 'storage off is not active'],
    [`bfc://${nas}/in.bfc`, 7, 'set bfc.directory to the directory with them'],
  ] as const) {
    const error = await failure(t, images.pull(address));
    t.is(error?.code, code, address);
    t.true(error?.message.includes(words), error?.message);
  }
  await leavesNothing(t, made);
  t.is(await images.pull('bfc://nas:site/a.bfc:localhost/b'), two.configDigest);
  t.is(await images.pull(`bfc://nas:in.bfc:${NAME}`), one.configDigest);
  t.is(images.status('bfc://nas:site/a.bfc:localhost/b')?.id, two.configDigest);
  t.is(images.status(NAME)?.id, one.configDigest);
  t.deepEqual(new Set(asked), new Set(['nas', 'off']));
  await isClosed(t);
});

test('Bad BFC files fail with one clear error and leave nothing', async (t) => {
  const made = await service(t);
  const { images, directory } = made;
  const built = image('one');
  const address = `bfc://${directory}/a.bfc`;
  const path = join(directory, 'a.bfc');
  const fails = async (what: RegExp, code: StatusCode, credentials = {}) => {
    const error = await failure(t, images.pull(address, credentials));
    t.regex(error?.message ?? '', what);
    t.is(error?.code, code);
    await leavesNothing(t, made);
  };
  await packImages(path, { [NAME]: built }, { secret: { kind: 'password', password: Buffer.from('right') } });
  await fails(/encrypted with a password, and there is none; name a file with it in bfc.password_files/, 7);
  const named = await failure(t, images.pull(NAME));
  t.regex(
    named?.message ?? '',
    /no file of bfc.directory that can be read has the image; not read: .*a\.bfc.* password/,
  );
  await fails(/the 1 known do not fit/, 7, { username: 'bfc', password: 'wrong' });
  await fails(/must be 32 bytes in base64/, 3, { username: 'bfc-key', password: 'wrong' });
  await packImages(path, { [NAME]: built }, { secret: { kind: 'key', key: KEY } });
  const other = Buffer.alloc(32, 'L').toString('base64');
  await fails(/encrypted with a key file, and the 1 known do not fit/, 7, { username: 'bfc-key', password: other });
  const complete = await readFile(path);
  await truncate(path, complete.length - 1000);
  await fails(/the end of the file is missing; copy it again/, 15, { username: 'bfc', password: 'right' });
  const layer = built.layers[1]!.digest;
  await packImages(path, { [NAME]: built }, { without: [layer] });
  await fails(new RegExp(`has no layer ${layer} of ${NAME}, nor another file of .*; pack the image again`), 15);
  // A layer with a changed byte, under the checksums of a BFC file that is right.
  const changed = { ...built, blobs: new Map(built.blobs) };
  const bytes = Buffer.from(built.blobs.get(layer)!);
  bytes[bytes.length - 2000]! ^= 1;
  changed.blobs.set(layer, bytes);
  await packImages(path, { [NAME]: changed });
  await fails(/content has the digest sha256:/, 15);
  await writeFile(path, 'no BFC file');
  await fails(/is not a BFC file/, 3);
});

test('Files may share layers, and the layouts of the original are read', async (t) => {
  const { images, directory } = await service(t);
  const [one, two] = [image('one'), image('two')];
  const shared = sha256(base);
  await packImages(join(directory, 'one.bfc'), { [NAME]: one }, { prefix: 'layout/' });
  await packImages(join(directory, 'two.bfc'), { 'r.example/two': two }, { without: [shared], compressionLevel: 3 });
  t.is(await images.pull('r.example/two'), two.configDigest);
  await packImages(join(directory, 'old.bfc'), { 'r.example/old': image('old') }, { sketch: true });
  t.is(await images.pull(`bfc://${directory}/old.bfc`), image('old').configDigest);
  await isClosed(t);
});

test('A file that is being copied is waited for', async (t) => {
  let looks = 0;
  const secrets = {
    keys: [],
    get passwords() {
      looks += 1;
      return [];
    },
  };
  const { images, directory, top } = await service(t, { settleMs: 60_000, secrets });
  const built = image('one');
  const complete = await readFile(await packImages(join(top, 'x.bfc'), { [NAME]: built }));
  const path = join(directory, 'x.bfc');
  // Also with the size of the whole from the beginning, as by SMB, and with its end before the rest.
  const end = complete.subarray(-100);
  const without = Buffer.concat([Buffer.alloc(complete.length - end.length), end]);
  for (const part of [complete.subarray(0, 10_000), Buffer.alloc(complete.length), without]) {
    await writeFile(path, part);
    looks = 0;
    const pulls = [images.pull(NAME), images.pull(`bfc://${path}`)];
    const abort = new AbortController();
    const cancelled = images.pull('r.example/never', undefined, abort.signal);
    await eventually('looks of each pull', () => looks >= 6);
    abort.abort(new Error('enough'));
    await t.throwsAsync(cancelled, { message: 'enough' });
    await writeFile(path, complete);
    t.deepEqual(await Promise.all(pulls), [built.configDigest, built.configDigest]);
  }
  await isClosed(t);
});

test('A copy that takes too long is UNAVAILABLE', async (t) => {
  const made = await service(t, { settleMs: 60_000, patienceMs: 1 });
  const path = await packImages(join(made.directory, 'x.bfc'), { [NAME]: image('one') });
  await truncate(path, 10_000);
  for (const name of [NAME, `bfc://${path}`]) {
    const error = await failure(t, made.images.pull(name));
    t.is(error?.code, StatusCode.UNAVAILABLE);
    t.regex(error?.message ?? '', /x\.bfc" is still being copied after 0.001 s; pull again when/);
  }
  await leavesNothing(t, made);
});

test('A pull that ends amid a layer leaves nothing', async (t) => {
  let amid: (() => unknown) | undefined;
  const made = await service(t, { readLayout: stoppingAmid(() => amid?.()) });
  const { images, directory } = made;
  const built = image('one');
  const path = await packImages(join(directory, 'a.bfc'), { [NAME]: built }, { secret: { kind: 'key', key: KEY } });
  const credentials = { username: 'bfc-key', password: KEY.toString('base64') };
  const abort = new AbortController();
  const reason = new Error('deadline');
  amid = () => abort.abort(reason);
  t.is(await t.throwsAsync(images.pull(NAME, credentials, abort.signal)), reason);
  await leavesNothing(t, made);
  amid = () => truncate(path, 100_000);
  const error = await failure(t, images.pull(NAME, credentials));
  t.is(error?.code, StatusCode.DATA_LOSS);
  await leavesNothing(t, made);
  amid = undefined;
  await packImages(path, { [NAME]: built }, { secret: { kind: 'key', key: KEY } });
  t.is(await images.pull(NAME, credentials), built.configDigest);
  await isClosed(t);
});

test('An image larger than the free space fails early', async (t) => {
  const made = await service(t, {}, 12_345);
  const { images, directory } = made;
  await packImages(join(directory, 'a.bfc'), { [NAME]: image('one') });
  const error = await failure(t, images.pull(NAME));
  t.is(error?.code, StatusCode.RESOURCE_EXHAUSTED);
  t.regex(error?.message ?? '', /the layers of the image have 4\d{6} bytes, and \S+ has 12345 bytes free/);
  await leavesNothing(t, made);
});

test('Images of an archive are packed into an encrypted file', async (t) => {
  const { images, directory, top } = await service(t);
  const built = image('one', gzipSync);
  const layout = await writeLayout(join(top, 'layout'), built, { 'io.containerd.image.name': NAME });
  const pack = (file: string, more: Partial<Parameters<typeof packBfc>[0]> = {}) =>
    packBfc({
      source: layout,
      file,
      name: undefined,
      image: undefined,
      sourceSecret: () => Promise.resolve(undefined),
      temporary: top,
      secret: { kind: 'password', password: Buffer.from('secret') },
      level: 3,
      replaces: false,
      signal: new AbortController().signal,
      progress: () => undefined,
      skipped: () => undefined,
      ...more,
    });
  const file = join(directory, 'a.bfc');
  const seen: [number, number | undefined][] = [];
  const packed = await pack(file, { progress: (done, total) => seen.push([done, total]) });
  t.deepEqual(packed.images, [{ id: built.configDigest, names: [NAME] }]);
  const total = built.layers.reduce((sum, { size }) => sum + size, 0);
  t.deepEqual(seen.at(-1), [total, total]);
  t.is((await failure(t, pack(file)))?.code, StatusCode.ALREADY_EXISTS);
  t.is(await images.pull(NAME, { username: 'bfc', password: 'secret' }), built.configDigest);
  await pack(join(top, 'files.bfc'), { source: join(layout, 'blobs') });
  await using files = await openBfc(join(top, 'files.bfc'));
  t.is([...files.index].length, built.blobs.size + 1);
  const full = join(top, 'full');
  await mkdir(full);
  await run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', full]);
  const noSpace = await failure(t, pack(join(full, 'a.bfc')));
  t.is(noSpace?.message, `"${full}/a.bfc": no space left on its filesystem; free some, or write elsewhere`);
  t.deepEqual(await readdir(full), []);
  await rm(join(layout, 'blobs/sha256', built.layers[1]!.digest.slice(7)));
  await t.throwsAsync(pack(file, { replaces: true }), { code: 'ENOENT' });
  t.deepEqual(await readdir(directory), ['a.bfc']);
  t.is(await images.pull(`bfc://${file}`, { username: 'bfc', password: 'secret' }), built.configDigest);
});
