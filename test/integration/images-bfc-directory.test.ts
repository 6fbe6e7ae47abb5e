import anyTest, { type ExecutionContext } from 'ava';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  ImageServiceService,
  ImageSpec,
  ImageStatusRequest,
  PullImageRequest,
  RuntimeServiceService,
} from '../../api/gen/cri.ts';
import { WatchedImports, type WatchedImportsOptions } from '../../src/core/lifecycle/images/watched-imports.ts';
import type { Logger } from '../../src/core/model/logger.ts';
import { run } from '../../src/host/processes/run.ts';
import type { BfcSecret } from '../../src/integrations/bfc/key.ts';
import {
  WatchedBfcDirectory,
  type WatchedBfcDirectoryOptions,
} from '../../src/integrations/bfc/images/watched-directory.ts';
import { KeptJson } from '../../src/utils/fs/kept-json.ts';
import { packImages } from '../fixtures/bfc/pack-image.ts';
import { eventually } from '../lib/eventually.ts';
import { programFile } from '../lib/program.ts';
import { buildImage, sha256 } from '../unit/integrations/oci/image-builder.ts';
import { base, image, isClosed, KEY, NAME, service } from './bfc-fixture.ts';
import { Crictl } from './crictl-client.ts';
import { isSandboxed, silent, temporary, writeLayout } from './images-fixture.ts';
import { ServerFixture } from './server-fixture.ts';

const test = isSandboxed ? anyTest.serial : anyTest.serial.skip;

type Made = Awaited<ReturnType<typeof service>>;

/** Imports the files of the directory of a service until it is stopped, or the test ends. */
function watching(
  t: ExecutionContext,
  { images, directory, top }: Made,
  limits: Partial<WatchedBfcDirectoryOptions> = {},
  options: Partial<WatchedImportsOptions> = {},
) {
  const errors: string[] = [];
  const imported: string[] = [];
  const logger: Logger = {
    ...silent,
    info: (_message, fields) => imported.push(String(fields?.['file'])),
    error: (_message, fields) => errors.push(String(fields?.['error'])),
  };
  const imports = new WatchedImports({
    directory: new WatchedBfcDirectory({
      path: directory,
      imported: new KeptJson(join(top, 'bfc.json')),
      settleMs: 1,
      ...limits,
    }),
    import: (path, signal) => images.import(path, { digests: true, signal }),
    isLost: (id) => images.lost.has(id),
    logger,
    ...options,
  });
  const stopping = new AbortController();
  const kept = imports.keep(stopping.signal);
  const stop = async () => {
    stopping.abort(new Error('stopped'));
    await kept;
  };
  t.teardown(stop);
  return { errors, imported, stop };
}

test('A file that comes is imported once', async (t) => {
  const made = await service(t);
  const { images, directory } = made;
  const one = image('one');
  await packImages(join(directory, 'a.bfc'), { [NAME]: one });
  const first = watching(t, made);
  await eventually('the image of the file that was there', () => images.status(NAME));
  t.deepEqual(images.status(NAME)?.repoDigests, [`r.example/team/app@${one.manifestDigest}`]);
  await packImages(join(directory, 'b.bfc'), { 'r.example/b:v1': image('two') });
  await eventually('the image of the file that came', () => images.status('r.example/b:v1'));
  await images.remove(NAME);
  await first.stop();
  t.deepEqual(
    first.imported,
    ['a.bfc', 'b.bfc'].map((name) => join(directory, name)),
  );
  // A restart, while a file comes.
  await packImages(join(directory, 'c.bfc'), { 'r.example/c:v1': image('three') });
  const second = watching(t, made);
  await eventually('the image of the third file', () => images.status('r.example/c:v1'));
  t.is(images.status(NAME), undefined);
  await packImages(join(directory, 'a.bfc'), { [NAME]: image('four') });
  await eventually('the image of the changed file', () => images.status(NAME));
  await second.stop();
  t.deepEqual(
    second.imported,
    ['c.bfc', 'a.bfc'].map((name) => join(directory, name)),
  );
  // A store that has lost an image.
  const id = images.status('r.example/b:v1')?.id;
  await images.remove('r.example/b:v1');
  const third = watching(t, made, {}, { isLost: (lost) => lost === id });
  await eventually('the image that was lost', () => images.status('r.example/b:v1'));
  await third.stop();
  t.deepEqual([first.errors, second.errors, third.errors], [[], [], []]);
  await isClosed(t);
});

test('A file is imported when it is complete', async (t) => {
  const made = await service(t);
  const { images, directory, top } = made;
  const complete = await readFile(await packImages(join(top, 'x.bfc'), { [NAME]: image('one') }));
  let tries = 0;
  const { errors, imported } = watching(
    t,
    made,
    { settleMs: 600_000 },
    {
      import: (path, signal) => {
        tries++;
        return images.import(path, { signal });
      },
    },
  );
  const path = join(directory, 'x.bfc');
  const middle = Buffer.from(complete).fill(0, 10_000, complete.length - 100_000);
  for (const part of [complete.subarray(0, 10_000), Buffer.alloc(complete.length), middle]) {
    await writeFile(path, part);
    const before = tries;
    await eventually('two tries of the import', () => tries > before + 1);
  }
  t.deepEqual([images.list(), errors], [[], []]);
  await writeFile(path, complete);
  await eventually('the import', () => imported.length > 0);
  t.deepEqual([imported, errors], [[path], []]);
  t.not(images.status(NAME), undefined);
  await isClosed(t);
});

test('What is wrong with a file is said once, and mended by another', async (t) => {
  const secret: BfcSecret = { kind: 'key', key: KEY };
  const made = await service(t);
  const { images, directory } = made;
  await packImages(join(directory, 'locked.bfc'), { 'r.example/locked': image('zero') }, { secret });
  await packImages(join(directory, 'parted.bfc'), { [NAME]: image('one') }, { without: [sha256(base)] });
  const { errors } = watching(t, made);
  await eventually('both errors', () => errors.length === 2);
  t.regex(errors.join('\n'), /locked\.bfc": is encrypted with a key file.*\n.*parted\.bfc" has no layer/);
  await packImages(join(directory, 'other.bfc'), { 'r.example/two:v1': image('two') });
  await eventually('the image whose layer came', () => images.status(NAME));
  t.is(errors.length, 2);
  t.is(images.list().length, 2);
  await isClosed(t);
});

test('The directory may come later, and be replaced', async (t) => {
  const made = await service(t);
  const { images, directory } = made;
  await rm(directory, { recursive: true });
  const { errors } = watching(t, made, { lookMs: 10 });
  await mkdir(`${directory}.new`);
  await packImages(join(`${directory}.new`, 'a.bfc'), { [NAME]: image('one') });
  await rename(`${directory}.new`, directory);
  await eventually('the image of the new directory', () => images.status(NAME));
  await rm(directory, { recursive: true });
  await mkdir(directory);
  await packImages(join(directory, 'b.bfc'), { 'r.example/b:v1': image('two') });
  await eventually('the image of the next directory', () => images.status('r.example/b:v1'));
  t.deepEqual(errors, []);
});

/** A server with a directory of BFC files and their key, and a layout with an image of busybox. */
async function servedDirectory(t: ExecutionContext, more = '') {
  const top = await temporary(t);
  const directory = join(top, 'bfc');
  await mkdir(directory);
  await writeFile(join(top, 'key'), KEY);
  const server = await ServerFixture.make(
    t,
    `[bfc]\ndirectory = "${directory}"\n${more}key_files = ["${join(top, 'key')}"]\n`,
  );
  await run('tar', ['-C', '/', '-cf', join(top, 'tar'), 'bin/busybox']);
  const built = buildImage([await readFile(join(top, 'tar'))]);
  const layout = await writeLayout(join(top, 'layout'), built, { 'org.opencontainers.image.ref.name': NAME });
  const pack = async (name: string) => {
    const path = join(directory, name);
    await run(process.execPath, [programFile('main'), 'bfc', 'pack', layout, path, '--key-file', join(top, 'key')]);
    return path;
  };
  const find = async (name: string) => {
    const request = ImageStatusRequest.create({ image: { image: name } });
    return (await server.client.call(ImageServiceService.imageStatus, request)).image;
  };
  const runPod = async (handler: string, name: string) => {
    const pod = await server.pod(handler, {}, handler);
    const id = await server.create(pod, 'c', { image: { image: name }, command: ['/bin/busybox', 'echo', 'started'] });
    await server.client.call(RuntimeServiceService.startContainer, { containerId: id });
    t.is((await server.exit(id)).exitCode, 0);
    t.is(await server.output(handler, 'c'), 'started\n');
    await server.clear();
  };
  const remove = (image: string) =>
    server.client.call(ImageServiceService.removeImage, { image: ImageSpec.create({ image }) });
  return { server, directory, built, pack, find, runPod, remove };
}

test('Pods start from an encrypted BFC file without a registry', async (t) => {
  const { server, built, pack, find, runPod, remove } = await servedDirectory(t, 'import = false\n');
  const crictl = await Crictl.for(t, server.socket);
  for (const handler of ['lxc', 'crun']) {
    const path = await pack(`${handler}.bfc`);
    const name = handler === 'lxc' ? NAME : `bfc://${path}`;
    // With imagePullPolicy IfNotPresent the kubelet pulls it, with Never the pod does not start.
    for (const each of [name, NAME]) t.is(await find(each), undefined);
    const pulled = await crictl.run(['--image-endpoint', `unix://${server.socket}`, 'pull', name]);
    t.is(pulled.code, 0, pulled.stderr);
    t.true(pulled.stdout.includes(built.configDigest), pulled.stdout);
    await rm(path);
    const found = await find(name);
    t.deepEqual([found?.id, found?.repoTags], [built.configDigest, [NAME]]);
    t.is((await find(NAME))?.id, built.configDigest);
    const listed = await crictl.run(['--image-endpoint', `unix://${server.socket}`, 'images', '--no-trunc']);
    t.regex(listed.stdout, new RegExp(`^r\\.example/team/app +v1 +${built.configDigest} `, 'm'));
    await runPod(handler, name);
    await remove(built.configDigest);
  }
});

test('Pods start from an encrypted BFC file that is dropped into the directory, without a pull', async (t) => {
  const { server, directory, built, pack, find, runPod, remove } = await servedDirectory(t);
  await pack('a.bfc');
  const found = await eventually('the image', () => find(NAME));
  t.deepEqual(
    [found.id, found.repoTags, found.repoDigests],
    [built.configDigest, [NAME], [`r.example/team/app@${built.manifestDigest}`]],
  );
  for (const handler of ['lxc', 'crun']) await runPod(handler, NAME);
  await remove(NAME);
  await server.end('SIGTERM');
  const other = 'r.example/other:v1';
  await packImages(join(directory, 'b.bfc'), { [other]: image('other') });
  await server.start();
  await eventually('the image of the file that came meanwhile', () => find(other));
  t.is(await find(NAME), undefined);
  await server.client.call(ImageServiceService.pullImage, PullImageRequest.create({ image: { image: NAME } }));
  t.is((await find(NAME))?.id, built.configDigest);
});
