import anyTest from 'ava';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { CriError, StatusCode } from '../../src/core/model/errors.ts';
import { run } from '../../src/host/processes/run.ts';
import { buildImage, tarOf } from '../unit/integrations/oci/image-builder.ts';
import { serve } from '../unit/integrations/oci/scripted-server.ts';
import {
  isSandboxed,
  mountCopy,
  newService,
  removeCopy,
  skopeo,
  startRegistry,
  temporary,
  writeLayout,
} from './images-fixture.ts';

const test = isSandboxed ? anyTest.serial : anyTest.serial.skip;

const base = tarOf({ name: 'etc/passwd', body: 'root:x:0:0::/:/bin/sh\n' });
const app = (name: string) =>
  buildImage([base, tarOf({ name: `app/${name}`, body: name })], {
    compress: gzipSync,
    mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
    config: { User: 'root' },
  });

/** No file of a fetch or an import is left. */
async function leftovers(root: string): Promise<string[]> {
  const directories = ['content/incoming', 'overlay/tmp', 'import'].map((name) => join(root, name));
  return (await Promise.all(directories.map((directory) => readdir(directory).catch(() => [])))).flat();
}

test('Images are pulled by tag and digest and removed', async (t) => {
  const directory = await temporary(t);
  const host = await startRegistry(t, directory);
  const root = join(directory, 'data');
  const { images, store } = await newService(t, root);
  const image = app('one');
  const layout = await writeLayout(join(directory, 'layout'), image);
  await skopeo('copy', '--dest-tls-verify=false', `oci:${layout}`, `docker://${host}/team/one:v1`);
  await skopeo('copy', '--dest-tls-verify=false', '--format=v2s2', `oci:${layout}`, `docker://${host}/team/docker:v1`);

  const id = await images.pull(`${host}/team/one:v1`);
  t.is(id, image.configDigest);
  t.like(images.status(id), {
    repoTags: [`${host}/team/one:v1`],
    repoDigests: [`${host}/team/one@${image.manifestDigest}`],
    manifestDigest: image.manifestDigest,
  });
  t.is(await images.pull(`${host}/team/one@${image.manifestDigest}`), id);
  const dockerId = await images.pull(`${host}/team/docker:v1`);
  const path = await mountCopy(store, 'c1', images.status(dockerId)?.chainId);
  t.is(await readFile(join(path, 'app/one'), 'utf8'), 'one');
  t.is((await store.listLayers()).length, 2);
  t.true(((await images.fsInfo())[0]?.usedBytes ?? 0n) > 0n);

  for (const each of images.list()) await images.remove(each.id);
  t.deepEqual(images.list(), []);
  t.is((await store.listLayers()).length, 2);
  t.is(await readFile(join(path, 'etc/passwd'), 'utf8'), 'root:x:0:0::/:/bin/sh\n');
  await removeCopy(store, 'c1');
  await images.collect();
  t.deepEqual(await store.listLayers(), []);
  t.deepEqual(await leftovers(root), []);

  const error = await t.throwsAsync(images.pull(`${host}/team/none:v1`), { instanceOf: CriError });
  t.is(error?.code, StatusCode.NOT_FOUND);
  t.regex(error?.message ?? '', /MANIFEST_UNKNOWN|manifest unknown/i);
});

test('A mirror replaces an unreachable registry', async (t) => {
  const directory = await temporary(t);
  const host = await startRegistry(t, directory);
  const image = app('mirrored');
  const layout = await writeLayout(join(directory, 'layout'), image);
  await skopeo('copy', '--dest-tls-verify=false', `oci:${layout}`, `docker://${host}/e2e/busybox:1.29-2`);
  const mirrors = [{ registry: 'registry.invalid', endpoints: [`http://${host}`] }];
  const { images } = await newService(t, join(directory, 'data'), { mirrors });
  const id = await images.pull('registry.invalid/e2e/busybox:1.29-2');
  t.deepEqual(images.status(id)?.repoTags, ['registry.invalid/e2e/busybox:1.29-2']);
  const error = await t.throwsAsync(images.pull('127.0.0.1:1/e2e/busybox:1.29-2'), { instanceOf: CriError });
  t.regex(error?.message ?? '', /^RegistryUnavailable: /);
});

test('Shared layers are fetched once, also by concurrent pulls', async (t) => {
  const directory = await temporary(t);
  const [one, two] = [app('one'), app('two')];
  const server = await serve(t, one);
  server.intercept = (request, response) => {
    if (!request.url?.includes('/two/')) return false;
    const [, kind, name = ''] = /\/(manifests|blobs)\/([^/]+)$/.exec(request.url) ?? [];
    response.end(kind === 'manifests' && name === 'v1' ? two.index : two.blobs.get(name));
    return true;
  };
  const { images, store } = await newService(t, join(directory, 'data'));
  const names = ['one', 'two', 'one', 'two', 'one'].map((name) => `${server.host}/${name}:v1`);
  const ids = await Promise.all(names.map((name) => images.pull(name)));
  t.deepEqual(new Set(ids), new Set([one.configDigest, two.configDigest]));
  t.is(server.log.filter((line) => line.endsWith(one.layers[0]!.digest)).length, 1);
  t.is((await store.listLayers()).length, 3);
  await images.remove(`${server.host}/one:v1`);
  t.is((await store.listLayers()).length, 2);
});

test('zstd layers of several frames are unpacked whole', async (t) => {
  const directory = await temporary(t);
  const tar = tarOf({ name: 'big', body: 'x'.repeat(200_000) }, { name: 'last', body: 'last' });
  const frames = (data: Buffer) => {
    const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]);
    const halves = [data.subarray(0, 70_000), data.subarray(70_000)].map((half) => zstdCompressSync(half));
    return Buffer.concat([halves[0]!, skippable, halves[1]!, skippable]);
  };
  const image = buildImage([tar], { compress: frames, mediaType: 'application/vnd.oci.image.layer.v1.tar+zstd' });
  const server = await serve(t, image);
  const { images, store } = await newService(t, join(directory, 'data'));
  const id = await images.pull(`${server.host}/z:v1`);
  const path = await mountCopy(store, 'c1', images.status(id)?.chainId);
  t.is(await readFile(join(path, 'last'), 'utf8'), 'last');
  await removeCopy(store, 'c1');
  const broken = buildImage([tar, base], {
    compress: (data) => (data === base ? frames(data).subarray(0, -30) : frames(data)),
    mediaType: 'application/vnd.oci.image.layer.v1.tar+zstd',
  });
  const bad = await serve(t, broken);
  const error = await t.throwsAsync(images.pull(`${bad.host}/z:v2`), { instanceOf: CriError });
  t.is(error?.code, StatusCode.INVALID_ARGUMENT);
  t.is(images.list().length, 1);
});

test('A pull interrupted by SIGKILL is cleaned up', async (t) => {
  const directory = await temporary(t);
  const root = join(directory, 'data');
  const image = app('killed');
  const server = await serve(t, image);
  let isDead = false;
  let reached: () => void = () => undefined;
  const midway = new Promise<void>((resolve) => (reached = resolve));
  server.intercept = (request, response) => {
    if (!request.url?.endsWith(image.layers[1]!.digest) || isDead) return false;
    const blob = image.blobs.get(image.layers[1]!.digest)!;
    response.writeHead(200, { 'content-length': blob.length });
    response.write(blob.subarray(0, 20), () => {
      reached();
    });
    return true;
  };
  const victim = spawn(process.execPath, [join(import.meta.dirname, 'images-victim.ts'), root, `${server.host}/k:v1`], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const ended = once(victim, 'exit');
  t.teardown(() => victim.kill('SIGKILL'));
  await Promise.race([midway, ended]);
  victim.kill('SIGKILL');
  t.deepEqual(await ended, [null, 'SIGKILL']);
  isDead = true;
  t.true((await leftovers(root)).length > 0);

  const { images, store } = await newService(t, root);
  t.deepEqual(images.list(), []);
  t.deepEqual(await leftovers(root), []);
  t.deepEqual(await store.listLayers(), []);
  t.is(await images.pull(`${server.host}/k:v1`), image.configDigest);
  t.is((await store.listLayers()).length, 2);
});

test('skopeo archives and image layouts keep their names', async (t) => {
  const directory = await temporary(t);
  const root = join(directory, 'data');
  const { images, store } = await newService(t, root);
  const image = app('archived');
  const layout = await writeLayout(join(directory, 'layout'), image, {
    'org.opencontainers.image.ref.name': 'r.io/lay:v1',
  });
  t.deepEqual(await images.import(layout), [image.configDigest]);
  t.like(images.status('r.io/lay:v1'), { id: image.configDigest, repoTags: ['r.io/lay:v1'], repoDigests: [] });

  const docker = join(directory, 'docker.tar');
  await skopeo('copy', `oci:${layout}`, `docker-archive:${docker}:r.io/docker:v2`);
  const [dockerId] = await images.import(docker);
  t.is(images.status('r.io/docker:v2')?.id, dockerId);
  const oci = join(directory, 'oci.tar');
  await skopeo('copy', `oci:${layout}`, `oci-archive:${oci}:r.io/oci:v3`);
  await writeFile(`${oci}.gz`, gzipSync(await readFile(oci)));
  const [ociId] = await images.import(`${oci}.gz`, { ref: 'given.io/name:v4' });
  t.is(images.status('given.io/name:v4')?.id, ociId);
  t.is(images.status('r.io/oci:v3'), undefined);
  const path = await mountCopy(store, 'c1', images.status(dockerId!)?.chainId);
  t.is(await readFile(join(path, 'app/archived'), 'utf8'), 'archived');
  await removeCopy(store, 'c1');
  t.deepEqual(await leftovers(root), []);
});

test('Hostile archives are refused and write nothing', async (t) => {
  const directory = await temporary(t);
  const root = join(directory, 'data');
  const { images } = await newService(t, root);
  const image = app('x');
  const config = image.config.toString();
  const manifest = (layer: string) =>
    JSON.stringify([{ Config: 'config.json', RepoTags: ['r.io/x:1'], Layers: [layer] }]);
  const blob = image.layers[0]!.digest.slice(7);
  const archives: Record<string, Buffer> = {
    empty: tarOf(),
    'no tar': Buffer.from('hello'.repeat(500)),
    'cut gzip': gzipSync(tarOf({ name: 'a', body: 'x'.repeat(10_000) })).subarray(0, 40),
    'link to the host': tarOf(
      { name: 'manifest.json', body: manifest('layer.tar') },
      { name: 'config.json', body: config },
      { name: 'layer.tar', type: 'symlink', linkName: '/etc/passwd' },
    ),
    'name of the host': tarOf(
      { name: 'manifest.json', body: manifest('../../../../etc/passwd') },
      { name: 'config.json', body: config },
    ),
    'manifest linked to the host': tarOf({ name: 'manifest.json', type: 'symlink', linkName: '/etc/passwd' }),
    'climbing members': tarOf({ name: '../../../escaped', body: 'x' }, { name: '/escaped', body: 'x' }),
    'large manifest': tarOf({ name: 'manifest.json', body: ' '.repeat(5_000_000) }),
    'lying blob': tarOf(
      { name: 'oci-layout', body: '{}' },
      { name: 'index.json', body: image.index.toString() },
      { name: `blobs/sha256/${blob}`, body: 'not it' },
      { name: `blobs/sha256/${image.manifestDigest.slice(7)}`, body: '{}' },
    ),
  };
  for (const [what, data] of Object.entries(archives)) {
    const path = join(directory, 'hostile.tar');
    await writeFile(path, data);
    await t.throwsAsync(images.import(path), { instanceOf: CriError }, what);
    t.deepEqual(await leftovers(root), [], what);
  }
  t.deepEqual((await readdir(directory)).sort(), ['data', 'hostile.tar']);
  t.deepEqual(images.list(), []);
  for (const path of ['relative.tar', join(directory, 'missing'), '/dev/zero', directory]) {
    await t.throwsAsync(images.import(path), { instanceOf: CriError, code: StatusCode.INVALID_ARGUMENT }, path);
  }
});

test('Pulling a large image keeps the event loop free', async (t) => {
  const directory = await temporary(t);
  const files = Array.from({ length: 4000 }, (_, i) => ({ name: `usr/${i % 8}/${i}`, body: `${i} `.repeat(4000) }));
  const image = buildImage([tarOf(...files)], {
    compress: (tar) => gzipSync(tar, { level: 1 }),
    mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
  });
  const server = await serve(t, image);
  const { images, store } = await newService(t, join(directory, 'data'));
  let ticks = 0;
  const timer = setInterval(() => ticks++, 5);
  const id = await images.pull(`${server.host}/big:v1`);
  clearInterval(timer);
  t.true(ticks > 3, 'timers ran while layers were applied');
  const path = await mountCopy(store, 'c1', images.status(id)?.chainId);
  const { stdout } = await run('sh', ['-c', 'find "$1" -type f | wc -l', '-', path]);
  t.is(stdout.trim(), '4000');
  await removeCopy(store, 'c1');
});
