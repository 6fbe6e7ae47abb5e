import anyTest from 'ava';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { CriError, StatusCode } from '../../src/core/model/errors.ts';
import { run } from '../../src/host/processes/run.ts';
import { imageFilesBelow } from '../lib/image-files.ts';
import { buildImage, tarOf } from '../unit/integrations/oci/image-builder.ts';
import { isSandboxed, mountCopy, newService, removeCopy, skopeo, temporary, writeLayout } from './images-fixture.ts';
import { IMAGE, ServerFixture } from './server-fixture.ts';
import { programFile } from '../lib/program.ts';

const test = isSandboxed ? anyTest.serial : anyTest.serial.skip;

const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex');
const base = tarOf(
  { name: 'etc/passwd', body: 'root:x:0:0::/:/bin/sh\n' },
  { name: 'gone', body: 'x' },
  { name: 'ping', uid: 70_000, mode: 0o4755, xattrs: new Map([['security.capability', capability]]) },
);
const image = (name: string) =>
  buildImage([base, tarOf({ name: `app/${name}`, body: name }, { name: '.wh.gone' })], {
    config: { User: '1002', Volumes: { '/data': {} }, Labels: { a: 'b' } },
  });

test('Tarballs of root filesystems import with any compression', async (t) => {
  const directory = await temporary(t);
  const root = join(directory, 'data');
  const { images, store } = await newService(t, root);
  await mkdir(join(directory, 'rootfs/etc'), { recursive: true });
  await mkdir(join(directory, 'rootfs/sbin'));
  for (const [name, flag, reference] of [
    ['debian-12-standard_12.7-1_amd64.tar.zst', '--zstd', 'localhost/debian-12-standard:12.7-1'],
    ['ubuntu-24.04-standard_24.04-2_amd64.tar.gz', '--gzip', 'localhost/ubuntu-24-04-standard:24.04-2'],
    ['alpine-3.20-default_20240908_amd64.tar.xz', '--xz', 'localhost/alpine-3-20-default:20240908'],
    ['My Root.tar', '--no-auto-compress', 'localhost/my-root:latest'],
  ] as const) {
    const path = join(directory, name);
    await writeFile(join(directory, 'rootfs/etc/hostname'), name);
    await run('tar', ['-C', join(directory, 'rootfs'), flag, '-cf', path, '.']);
    const [id] = await images.import(path);
    t.like(images.status(reference), { id, repoTags: [reference] }, name);
    t.deepEqual(images.status(reference)?.config.config.Cmd, ['/sbin/init']);
    const mounted = await mountCopy(store, 'c1', images.status(reference)?.chainId);
    t.is(await readFile(join(mounted, 'etc/hostname'), 'utf8'), name);
    await removeCopy(store, 'c1');
    await writeFile(path, (await readFile(path)).subarray(0, 100));
    const error = await t.throwsAsync(images.import(path), { instanceOf: CriError }, name);
    t.is(error?.code, StatusCode.INVALID_ARGUMENT);
  }
  t.deepEqual(await readdir(join(root, 'import')), []);
});

test('An exported image is valid and can be imported', async (t) => {
  const directory = await temporary(t);
  const root = join(directory, 'data');
  const { images, store } = await newService(t, root);
  const layout = await writeLayout(join(directory, 'layout'), image('one'));
  await images.import(layout, { ref: 'r.io/one:v1' });
  const archive = join(directory, 'one.tar');
  const { digest, size } = await images.export('r.io/one:v1', archive);
  t.true(size > 1000);
  const again = await t.throwsAsync(images.export('r.io/one:v1', archive), { instanceOf: CriError });
  t.is(again?.code, StatusCode.INVALID_ARGUMENT);
  const other = await t.throwsAsync(images.export('r.io/two:v1', join(directory, 'x')), { instanceOf: CriError });
  t.is(other?.code, StatusCode.NOT_FOUND);
  await t.throwsAsync(images.export('r.io/one:v1', join(directory, 'no/such/directory')), { instanceOf: CriError });
  t.deepEqual((await readdir(directory)).sort(), ['data', 'layout', 'one.tar']);
  t.deepEqual([await store.list(), await readdir(join(root, 'export'))], [[], []]);

  await skopeo('copy', `oci-archive:${archive}:r.io/one:v1`, `oci:${join(directory, 'copied')}`);
  const { images: second, store: secondStore } = await newService(t, join(directory, 'second'));
  await second.import(archive);
  const [before, after] = [images.status('r.io/one:v1'), second.status('r.io/one:v1')];
  t.is(after?.manifestDigest, digest);
  t.deepEqual(after?.config.config, before?.config.config);
  t.is(after?.config.diffIds.length, 1);
  const listing = async (path: string) =>
    (
      await run(
        'tar',
        [
          '-C',
          path,
          '--xattrs',
          '--xattrs-include=*',
          '--numeric-owner',
          '--format=posix',
          '--pax-option=delete=atime,delete=ctime',
          '--sort=name',
          '-cf',
          '-',
          '.',
        ],
        {
          maxOutputBytes: 1e7,
        },
      )
    ).stdout;
  const one = await mountCopy(store, 'c1', before?.chainId);
  const two = await mountCopy(secondStore, 'c1', after?.chainId);
  t.is(await listing(two), await listing(one));
  t.deepEqual((await readdir(two)).sort(), ['app', 'etc', 'ping']);
  await removeCopy(store, 'c1');
  await removeCopy(secondStore, 'c1');
});

test('Pruning keeps pinned and used images', async (t) => {
  const directory = await temporary(t);
  const { images, store } = await newService(t, join(directory, 'data'), {}, { pinned: ['r.io/pinned'] });
  const ids: string[] = [];
  for (const name of ['pinned', 'used', 'idle']) {
    const layout = await writeLayout(join(directory, name), image(name));
    ids.push(...(await images.import(layout, { ref: `r.io/${name}` })));
  }
  const removed = await images.prune(() => new Set([ids[1]!]));
  t.deepEqual(
    removed.map(({ id }) => id),
    [ids[2]],
  );
  t.deepEqual(
    images
      .list()
      .map(({ id }) => id)
      .sort(),
    ids.slice(0, 2).sort(),
  );
  t.is((await store.listLayers()).length, 3);
});

test('Images of the archive directory replace an unreachable registry', async (t) => {
  const directory = await temporary(t);
  const archiveDir = join(directory, 'archives');
  await mkdir(archiveDir);
  const archive = async (name: string) => {
    const layout = await writeLayout(join(directory, name), image(name));
    await skopeo(
      'copy',
      `oci:${layout}`,
      `docker-archive:${join(archiveDir, `${name}.tar`)}:127.0.0.1:1/team/${name}:v1`,
    );
  };
  await archive('early');
  await writeFile(join(archiveDir, 'broken.tar'), 'no tar');
  await writeFile(join(archiveDir, 'README'), 'not looked at');
  const errors: string[] = [];
  const files = imageFilesBelow(join(directory, 'data'), archiveDir);
  const { images } = await newService(t, join(directory, 'data'), {}, { files }, errors);
  await images.importArchives();
  t.is(images.list().length, 1);
  t.is(errors.length, 1);
  const id = await images.pull('127.0.0.1:1/team/early:v1');
  t.is(images.status('127.0.0.1:1/team/early:v1')?.id, id);
  await t.throwsAsync(images.pull('127.0.0.1:1/team/late:v1'), { message: /^RegistryUnavailable/ });
  await archive('late');
  t.is(await images.pull('127.0.0.1:1/team/late:v1'), images.status('127.0.0.1:1/team/late:v1')!.id);
  // An unchanged archive is read again only if its image is gone.
  t.is(errors.length, 1);
  await images.remove(id);
  await images.importArchives();
  t.is(images.list().length, 2);
  await utimes(join(archiveDir, 'broken.tar'), 1, 1);
  await images.importArchives();
  t.is(errors.length, 2);
  await rm(archiveDir, { recursive: true });
  await images.importArchives();
  t.is(errors.length, 2);
});

test('import, export, images --digests and prune work', async (t) => {
  const server = await ServerFixture.make(t);
  const cli = async (command: string, ...args: string[]) => {
    const argv = [programFile('main'), command, '--address', `unix://${server.socket}`, ...args];
    const child = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'pipe'] });
    const ended = once(child, 'close') as Promise<[number]>;
    const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
    return { code, stdout, stderr };
  };
  const archive = join(server.directory, 'exported.tar');
  const exported = await cli('export', IMAGE, archive);
  t.like(exported, { code: 0, stderr: '' });
  t.regex(exported.stdout, /^sha256:[0-9a-f]{64}\n$/);
  t.like(await cli('export', IMAGE, archive), { code: 1 });
  t.regex((await cli('images', '--digests')).stdout, /IMAGE +TAG +DIGEST +IMAGE ID/);
  t.like(await cli('import', archive, '--name', 'localhost/copy:1'), { code: 0, stderr: '' });
  const orphan = 'f'.repeat(64);
  await mkdir(join(server.directory, 'root/volumes', orphan), { recursive: true });
  const planned = await cli('prune', '--dry-run');
  t.regex(planned.stdout, new RegExp(`^KIND .*\nimage +sha256:.*\nimage +sha256:.*\nvolume +${orphan} +- +0 B\n$`));
  const pruned = await cli('prune');
  t.is(pruned.code, 0);
  t.is(pruned.stdout.split('\n').length, 3);
  t.regex(pruned.stderr, /^2 removed, [1-9].* freed\n$/);
  t.is(planned.stderr, pruned.stderr.replace('removed', 'would be removed'));
  await t.notThrowsAsync(readdir(join(server.directory, 'root/volumes', orphan)));
  t.is((await cli('images', '-q')).stdout, '');
});
