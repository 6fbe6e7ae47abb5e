import anyTest, { type ExecutionContext } from 'ava';
import { createHash } from 'node:crypto';
import { appendFile, mkdir, readdir, readFile, readlink, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { ImageServiceService, ImageSpec, ImageStatusRequest, RuntimeServiceService } from '../../api/gen/cri.ts';
import { fullName } from '../../src/core/lifecycle/images/reference.ts';
import { CriError, StatusCode } from '../../src/core/model/errors.ts';
import { BfcImageSource, type BfcImageSourceOptions } from '../../src/integrations/bfc/images/bfc-image-source.ts';
import { openBfc } from '../../src/integrations/bfc/reader.ts';
import { readImageLayout, readSketch } from '../../src/integrations/oci/archive/layout.ts';
import { ArchiveReader } from '../../src/integrations/oci/archive-reader.ts';
import { parsePlatform } from '../../src/integrations/oci/platform.ts';
import { packBfc } from '../../src/pack-bfc.ts';
import { run } from '../../src/host/processes/run.ts';
import { packImages } from '../fixtures/bfc/pack-image.ts';
import { imageFilesBelow } from '../lib/image-files.ts';
import { programFile } from '../lib/program.ts';
import { buildImage, sha256, tarOf } from '../unit/integrations/oci/image-builder.ts';
import { Crictl } from './crictl-client.ts';
import { isSandboxed, mountCopy, newService, removeCopy, temporary, writeLayout } from './images-fixture.ts';
import { ServerFixture } from './server-fixture.ts';

const test = isSandboxed ? anyTest.serial : anyTest.serial.skip;

const KEY = Buffer.alloc(32, 'K');
const NAME = 'r.example/team/app:v1';
const base = tarOf({ name: 'etc/hostname', body: 'base\n' });
// More than is read at once, so that it is streamed.
const large = createHash('shake256', { outputLength: 3_000_000 }).update('seed').digest().toString('latin1');
const image = (name: string, compress?: (tar: Buffer) => Buffer) =>
  buildImage([base, tarOf({ name: 'app/name', body: name }, { name: 'app/large', body: large })], {
    ...(compress && { compress }),
  });

/** An image service whose only source with names is a directory of BFC files; no registry is reachable. */
async function service(t: ExecutionContext, options: Partial<BfcImageSourceOptions> = {}, freeBytes?: number) {
  const top = await temporary(t);
  const directory = join(top, 'bfc');
  await mkdir(directory);
  const platform = parsePlatform();
  const bfc = new BfcImageSource({
    directory,
    secrets: { keys: [], passwords: [] },
    readLayout: async (files) => (await readImageLayout(files, platform)) ?? readSketch(files, platform),
    fullName: (name) => fullName(name, 'docker.io'),
    settleMs: 1,
    ...options,
  });
  const root = join(top, 'data');
  const sources = [bfc, new ArchiveReader({ temporary: join(root, 'import') })];
  const files = imageFilesBelow(root);
  const made = await newService(
    t,
    root,
    {},
    {
      sources,
      files: freeBytes === undefined ? files : { ...files, freeBytes: () => Promise.resolve(freeBytes) },
    },
  );
  return { ...made, top, directory, root };
}

const failure = (t: ExecutionContext, pull: Promise<unknown>) => t.throwsAsync(pull, { instanceOf: CriError });

/** Nothing of a failed pull is left. */
async function leavesNothing(t: ExecutionContext, { images, store, root }: Awaited<ReturnType<typeof service>>) {
  t.deepEqual([images.list(), await store.listLayers()], [[], []]);
  t.deepEqual(await readdir(join(root, 'content/incoming')).catch(() => []), []);
  await isClosed(t);
}

/** No BFC file is open. */
async function isClosed(t: ExecutionContext) {
  const open = await Promise.all(
    (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')),
  );
  t.deepEqual(
    open.filter((path) => path.includes('.bfc')),
    [],
  );
}

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
  for (const bad of ['bfc://a.bfc', 'bfc:///x', 'bfc:///x.bfc:a b', 'ftp:///x.bfc']) {
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
  const { images, directory, top } = await service(t, { settleMs: 60_000 });
  const built = image('one');
  const complete = await readFile(await packImages(join(top, 'x.bfc'), { [NAME]: built }));
  const path = join(directory, 'x.bfc');
  await writeFile(path, complete.subarray(0, 10_000));
  const pulls = [images.pull(NAME), images.pull(`bfc://${path}`)];
  const abort = new AbortController();
  const cancelled = images.pull('r.example/never', undefined, abort.signal);
  abort.abort(new Error('enough'));
  await t.throwsAsync(cancelled, { message: 'enough' });
  await appendFile(path, complete.subarray(10_000));
  t.deepEqual(await Promise.all(pulls), [built.configDigest, built.configDigest]);
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

test('Pods start from an encrypted BFC file without a registry', async (t) => {
  const top = await temporary(t);
  const directory = join(top, 'bfc');
  await mkdir(directory);
  await writeFile(join(top, 'key'), KEY);
  const server = await ServerFixture.make(
    t,
    `[bfc]\ndirectory = "${directory}"\nkey_files = ["${join(top, 'key')}"]\n`,
  );
  await run('tar', ['-C', '/', '-cf', join(top, 'tar'), 'bin/busybox']);
  const built = buildImage([await readFile(join(top, 'tar'))]);
  const layout = await writeLayout(join(top, 'layout'), built, { 'org.opencontainers.image.ref.name': NAME });
  const crictl = await Crictl.for(t, server.socket);
  for (const handler of ['lxc', 'crun']) {
    const path = join(directory, `${handler}.bfc`);
    await run(process.execPath, [programFile('main'), 'bfc', 'pack', layout, path, '--key-file', join(top, 'key')]);
    const name = handler === 'lxc' ? NAME : `bfc://${path}`;
    const pulled = await crictl.run(['--image-endpoint', `unix://${server.socket}`, 'pull', name]);
    t.is(pulled.code, 0, pulled.stderr);
    t.true(pulled.stdout.includes(built.configDigest), pulled.stdout);
    await rm(path);
    const { image: found } = await server.client.call(
      ImageServiceService.imageStatus,
      ImageStatusRequest.create({ image: { image: name } }),
    );
    t.deepEqual([found?.id, found?.repoTags], [built.configDigest, [NAME]]);
    const pod = await server.pod(handler, {}, handler);
    const command = ['/bin/busybox', 'echo', 'started'];
    const id = await server.create(pod, 'c', { image: { image: name }, command });
    await server.client.call(RuntimeServiceService.startContainer, { containerId: id });
    t.is((await server.exit(id)).exitCode, 0);
    t.is(await server.output(handler, 'c'), 'started\n');
    await server.clear();
    await server.client.call(ImageServiceService.removeImage, {
      image: found && ImageSpec.create({ image: found.id }),
    });
  }
});

test('Images of an archive are packed into an encrypted file', async (t) => {
  const { images, directory, top } = await service(t);
  const built = image('one', gzipSync);
  const layout = await writeLayout(join(top, 'layout'), built, { 'io.containerd.image.name': NAME });
  await writeFile(join(top, 'password'), 'secret\n');
  const pack = (file: string, more: Partial<Parameters<typeof packBfc>[0]> = {}) =>
    packBfc({
      source: layout,
      file,
      name: undefined,
      keyFile: undefined,
      passwordFile: join(top, 'password'),
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
  await rm(join(layout, 'blobs/sha256', built.layers[1]!.digest.slice(7)));
  await t.throwsAsync(pack(file, { replaces: true }), { code: 'ENOENT' });
  t.deepEqual(await readdir(directory), ['a.bfc']);
  t.is(await images.pull(`bfc://${file}`, { username: 'bfc', password: 'secret' }), built.configDigest);
});
