// A guest of its own: `test/long zfs-faults`.
import { randomBytes } from 'node:crypto';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import {
  ImageServiceService,
  ListImagesRequest,
  RemoveImageRequest,
  RuntimeServiceService,
} from '../../../api/gen/cri.ts';
import { ImageStoreService } from '../../../api/gen/proxmoxlxcri/v1/images.ts';
import { StatusCode } from '../../../src/core/model/errors.ts';
import { writeLayout } from '../../integration/images-fixture.ts';
import { ServerFixture } from '../../integration/server-fixture.ts';
import { eventually } from '../../lib/eventually.ts';
import { buildImage, tarOf } from '../../unit/integrations/oci/image-builder.ts';
import { directory, frailPool, makePool, run, TANK, zfs } from './pools.ts';
import { receiveFile, sendToFile } from './send-receive.ts';

const NAME = 'localhost/large:1';

const contentOf = (dataset: string) => run('zfs', 'list', '-Hro', 'name', '-t', 'all', dataset);

/** Imports an image whose only layer has so many MiB that cannot be compressed. */
async function importLarge(server: ServerFixture, mib: number): Promise<void> {
  const file = tarOf({ name: 'large', body: randomBytes(mib * 2 ** 19).toString('hex') });
  const path = await writeLayout(join(server.directory, 'large'), buildImage([file]));
  await server.client.call(ImageStoreService.import, { path, reference: NAME }, { timeoutMs: 120_000 });
}

function removeImage(server: ServerFixture): Promise<unknown> {
  return server.client.call(ImageServiceService.removeImage, RemoveImageRequest.create({ image: { image: NAME } }));
}

async function refused(t: ExecutionContext, code: StatusCode, message: RegExp, work: Promise<unknown>): Promise<void> {
  const error = await t.throwsAsync<Error & { code: number }>(work, { message });
  t.is(error?.code, code, error?.message);
}

test.serial('a layer for which the pool has no room leaves nothing', async (t) => {
  t.timeout(3_600_000);
  await makePool('small', '96M');
  t.teardown(() => run('zpool', 'destroy', '-f', 'small').catch(() => undefined));
  await zfs.createFilesystem('small/lxcri');
  const server = await ServerFixture.make(t, '', { dataset: 'small/lxcri' });
  const before = await contentOf('small/lxcri');
  await refused(t, StatusCode.RESOURCE_EXHAUSTED, /No space left|no space left/, importLarge(server, 80));
  t.is(await contentOf('small/lxcri'), before);
  await server.exit(await server.sh(await server.pod('pod'), 'app', 'true'));
});

test.serial('a pull goes on when its pool does', async (t) => {
  t.timeout(3_600_000);
  const frail = await frailPool(t, 'amid', '256M');
  await zfs.createFilesystem('amid/lxcri');
  const server = await ServerFixture.make(t, '', { dataset: 'amid/lxcri' });
  const id = await server.sh(await server.pod('pod'), 'app', 'echo ready; exec sleep 1000000');
  await server.said('pod', 'app', 'ready');
  const before = await contentOf('amid/lxcri');
  const imported = importLarge(server, 64);
  await eventually('an unfinished layer', async () => (await contentOf('amid/lxcri')) !== before);
  await frail.fail();
  t.is((await server.containers()).containers.length, 1);
  t.is((await server.exec(id, 'true')).exitCode, 0);
  await frail.repair();
  await imported;
  await removeImage(server);
  t.is(await contentOf('amid/lxcri'), before);
});

test.serial('what is in use elsewhere is removed later', async (t) => {
  t.timeout(3_600_000);
  const dataset = `${TANK}/busy`;
  await zfs.createFilesystem(dataset);
  const server = await ServerFixture.make(t, '', { dataset });
  const before = await contentOf(dataset);
  await importLarge(server, 1);
  const layers = (await contentOf(`${dataset}/layers`)).split('\n').filter((name) => !before.includes(name));
  const layer = layers.find((name) => !name.includes('@')) ?? '';
  const place = join(directory.path, 'busy');
  await mkdir(place);
  await run('mount', '-t', 'zfs', layer, place);
  const file = await open(join(place, 'large'));
  const message = new RegExp(`${layer}: .*is busy; a process or mount uses it`);
  await refused(t, StatusCode.UNAVAILABLE, message, removeImage(server));
  t.deepEqual((await server.client.call(ImageServiceService.listImages, ListImagesRequest.create())).images.length, 1);
  await file.close();
  await run('umount', place).catch(() => undefined);
  await removeImage(server);
  t.is(await contentOf(dataset), before);

  const podId = await server.pod('pod');
  const containerId = await server.sh(podId, 'app', 'echo here >/mark');
  await server.exit(containerId);
  const root = join(server.directory, 'state/rootfs', containerId, 'root');
  const used = await open(join(root, 'mark'));
  await server.client.call(RuntimeServiceService.removeContainer, { containerId });
  const rootfs = `${dataset}/rootfs/${containerId}`;
  t.is((await run('zfs', 'get', '-Ho', 'value', 'proxmox-lxcri:kind', rootfs)).trim(), 'removed');
  await used.close();
  await server.end('SIGTERM');
  await server.start();
  t.is(await contentOf(dataset), before);
});

test.serial('a pool without features serves pods, and names what it lacks', async (t) => {
  t.timeout(3_600_000);
  const disk = join(directory.path, 'old.disk');
  await run('truncate', '--size', '256M', disk);
  await run('zpool', 'create', '-d', '-o', 'cachefile=none', '-O', 'mountpoint=none', 'old', disk);
  t.teardown(() => run('zpool', 'destroy', '-f', 'old').catch(() => undefined));
  t.teardown(() => rm(disk, { force: true }));
  for (const name of ['old/lxcri', `${TANK}/modern`]) await zfs.createFilesystem(name);
  for (const [key, value] of [
    ['recordsize', '1M'],
    ['compression', 'zstd'],
  ] as const) {
    const dataset = `old/${key}`;
    await zfs.createFilesystem(dataset);
    const extra = `[rootfs]\nstore = "zfs"\ndataset = "${dataset}"\n${key} = "${value}"\n`;
    const error = await t.throwsAsync(ServerFixture.make(t, extra), undefined, key);
    t.regex(error?.message ?? '', new RegExp(`rootfs.${key}: zfs set ${dataset}/\\w+: .*zpool upgrade`), key);
  }
  const sender = await ServerFixture.make(t, `[rootfs]\ndataset = "${TANK}/modern"\nrecordsize = "1M"\n`);
  await importLarge(sender, 4);
  const stream = join(directory.path, 'modern.zfs');
  t.teardown(() => rm(stream, { force: true }));
  await sendToFile(sender.client, { image: NAME }, stream);

  const server = await ServerFixture.make(t, '', { dataset: 'old/lxcri' });
  const podId = await server.pod('pod');
  const containerId = await server.sh(podId, 'app', 'echo ready; exec sleep 1000000');
  await server.said('pod', 'app', 'ready');
  const { stats } = await server.client.call(RuntimeServiceService.containerStats, { containerId });
  t.is(stats?.writableLayer?.inodesUsed?.value, 0n);
  const before = await contentOf('old/lxcri');
  await refused(
    t,
    StatusCode.FAILED_PRECONDITION,
    /old\/lxcri\/layers\/.*zpool upgrade/,
    receiveFile(server.client, stream),
  );
  t.is(await contentOf('old/lxcri'), before);
});
