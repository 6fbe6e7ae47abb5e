// A guest of its own: `test/long zfs-many`.
import test from 'ava';
import {
  ContainerState,
  ImageServiceService,
  ListContainerStatsRequest,
  RemoveImageRequest,
  RuntimeServiceService,
} from '../../../api/gen/cri.ts';
import { forEach } from '../../../src/utils/async/for-each.ts';
import { importImage } from '../../integration/image-fixture.ts';
import { ServerFixture } from '../../integration/server-fixture.ts';
import { eventually } from '../../lib/eventually.ts';
import { tarOf } from '../../unit/integrations/oci/image-builder.ts';
import { run, TANK, zfs } from './pools.ts';

const PODS = 10;
const AT_ONCE = 8;
const LAYERS = Number(process.env['ZFS_LAYERS'] ?? 6);
const CONTAINERS = Number(process.env['ZFS_CONTAINERS'] ?? 15);
const IMAGE = 'localhost/layered:1';
const KEEP = `cat /layer-1 /layer-${String(LAYERS - 1)} >/mark; trap "exit 0" TERM; sleep 86400 & wait`;

/** Nothing here has a time limit: how long it takes is of the machine. */
const UNLIMITED = { timeoutMs: 0 };

test.serial('the server runs many containers of many layers', async (t) => {
  const dataset = `${TANK}/many-pods`;
  await zfs.createFilesystem(dataset);
  const server = await ServerFixture.make(t, '', { dataset });
  const { client } = server;
  const datasets = () => run('zfs', 'list', '-Hro', 'name', '-t', 'all', dataset);
  const empty = await datasets();
  // The lowest layer is busybox.
  const above = Array.from({ length: LAYERS - 1 }, (_, index) => {
    const name = `layer-${String(index + 1)}`;
    return tarOf({ name, body: name });
  });
  await importImage(server, IMAGE, {}, { above });
  const pods: string[] = [];
  for (let index = 0; index < PODS; index += 1) {
    pods.push(await server.pod(`pod-${String(index)}`, {}, index % 2 === 0 ? 'lxc' : 'crun'));
  }
  const ids: string[] = [];
  const begun = performance.now();
  await forEach(Array.from({ length: CONTAINERS }).keys(), AT_ONCE, async (index) => {
    const config = { image: { image: IMAGE }, command: ['sh', '-c', KEEP] };
    const containerId = await server.create(pods[index % PODS] ?? '', `c-${String(index)}`, config, UNLIMITED);
    ids.push(containerId);
    await client.call(RuntimeServiceService.startContainer, { containerId }, UNLIMITED);
  });
  t.log(`created and started in ${((performance.now() - begun) / 1000).toFixed(0)} s`);

  const check = async (when: string) => {
    const { containers } = await server.containers();
    t.is(containers.filter(({ state }) => state === ContainerState.CONTAINER_RUNNING).length, CONTAINERS, when);
    let slowestMs = 0;
    await eventually('the disk usage of all', async () => {
      const asked = performance.now();
      const request = ListContainerStatsRequest.create();
      const { stats } = await client.call(RuntimeServiceService.listContainerStats, request, UNLIMITED);
      slowestMs = Math.max(slowestMs, performance.now() - asked);
      t.is(stats.length, CONTAINERS);
      return stats.every(({ writableLayer }) => (writableLayer?.inodesUsed?.value ?? 0n) > 0n);
    });
    t.log(`${when}: statistics after at most ${slowestMs.toFixed(0)} ms`);
  };
  await check('when started');
  const clones = await run('zfs', 'list', '-Hrd1', '-o', 'origin', `${dataset}/rootfs`);
  t.is(new Set(clones.trim().split('\n')).size, 2, 'one layer, and none of the parent');
  await server.end('SIGKILL');
  await server.start();
  await check('after a kill');

  await forEach(ids, AT_ONCE, async (containerId) => {
    await client.call(RuntimeServiceService.removeContainer, { containerId }, UNLIMITED);
  });
  for (const podSandboxId of pods) {
    await client.call(RuntimeServiceService.removePodSandbox, { podSandboxId }, UNLIMITED);
  }
  await client.call(ImageServiceService.removeImage, RemoveImageRequest.create({ image: { image: IMAGE } }), UNLIMITED);
  t.is(await datasets(), empty);
});
