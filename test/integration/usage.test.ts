import test from 'ava';
import { ImageServiceService, RuntimeServiceService } from '../../api/gen/cri.ts';
import { StatusCode } from '../../src/core/model/errors.ts';
import { eventually } from '../lib/eventually.ts';
import { importImage } from './image-fixture.ts';
import { checkPodFigures } from './pod-figures.ts';
import { ServerFixture } from './server-fixture.ts';

const MIB = 1024 * 1024;

for (const handler of ['lxc', 'crun']) {
  test.serial(`${handler}: usage includes the writable layer and declared volumes`, async (t) => {
    const server = await ServerFixture.make(t);
    const { client } = server;
    const files = { '/data/there': 'x'.repeat(MIB) };
    await importImage(server, 'localhost/volume:1', files, { config: { Volumes: { '/data': {}, '/more': {} } } });
    const pod = await server.pod('writer', {}, handler);
    const write = (path: string, mebibytes: number) =>
      `dd if=/dev/zero of=${path} bs=1048576 count=${String(mebibytes)} 2>/dev/null; `;
    const script = `${write('/root', 2)} ${write('/data/new', 3)} ${write('/more/new', 5)} : >/ready; exec sleep 1000`;
    const id = await server.sh(pod, 'c', script, { image: { image: 'localhost/volume:1' } });
    await eventually('what it writes', async () => (await server.exec(id, 'test', '-e', '/ready')).exitCode === 0);

    const { stats } = await client.call(RuntimeServiceService.containerStats, { containerId: id });
    const layer = stats?.writableLayer;
    const bytes = Number(layer?.usedBytes?.value ?? 0n);
    // The image's megabyte is copied into the container's writable layer.
    t.true(bytes >= 11 * MIB && bytes < 12 * MIB, String(bytes));
    t.true((layer?.inodesUsed?.value ?? 0n) >= 6n);
    const info = await client.call(ImageServiceService.imageFsInfo, {});
    t.is(info.containerFilesystems[0]?.usedBytes?.value, layer?.usedBytes?.value);
    t.is(info.containerFilesystems[0]?.fsId?.mountpoint, layer?.fsId?.mountpoint);
    t.is(info.imageFilesystems[0]?.fsId?.mountpoint, layer?.fsId?.mountpoint);
    await client.call(RuntimeServiceService.removeContainer, { containerId: id });
    t.is((await client.call(ImageServiceService.imageFsInfo, {})).containerFilesystems[0]?.usedBytes?.value, 0n);
  });
}

test.serial('pod statistics and metrics are those of running containers', async (t) => {
  const server = await ServerFixture.make(t);
  for (const handler of ['lxc', 'crun']) await checkPodFigures(t, server, handler, 1);
  await t.throwsAsync(server.client.call(RuntimeServiceService.podSandboxStats, { podSandboxId: 'nobody' }), {
    code: StatusCode.NOT_FOUND,
  } as object);
});
