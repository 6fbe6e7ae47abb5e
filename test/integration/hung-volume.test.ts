import test from 'ava';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ContainerState, Mount, RuntimeServiceService } from '../../api/gen/cri.ts';
import type { CriError } from '../../src/core/model/errors.ts';
import { StatusCode } from '../../src/core/model/errors.ts';
import { packImages } from '../fixtures/bfc/pack-image.ts';
import { eventually, HANG_MS } from '../lib/eventually.ts';
import { sharedOn } from '../lib/handlers.ts';
import { failure, image, NAME, openFiles, service, stoppingAmid } from './bfc-fixture.ts';
import { oneServer } from './server-fixture.ts';
import { stallingVolume } from './stalling-volume.ts';

const one = oneServer(test);
const { listContainerStats, listPodSandboxStats, removePodSandbox, stopContainer, stopPodSandbox } =
  RuntimeServiceService;
const timeoutMs = HANG_MS;

for (const handler of sharedOn('lxc')) {
  test.serial(`${handler}: a volume stalls under a running container`, async (t) => {
    const server = await one(t);
    const { client } = server;
    const path = join(server.directory, 'volume');
    const volume = await stallingVolume(t, path);
    const mounts = [Mount.create({ hostPath: path, containerPath: '/volume' })];
    const pod = await server.pod('p', {}, handler);
    const script = 'cat /volume/file; until [ -e /dev/shm/go ]; do usleep 20000; done; cat /volume/file';
    const stuck = await server.sh(pod, 'stuck', script, { mounts });
    const nested = await server.pod('nested', {}, handler);
    const beside = await server.sh(pod, 'beside', 'exec sleep 1000');
    await server.said('p', 'stuck', 'content');

    await volume.stall();
    await server.exec(stuck, 'touch', '/dev/shm/go');
    await volume.waiting(1);
    const works = async (pods: number) => {
      t.is((await server.status(stuck)).state, ContainerState.CONTAINER_RUNNING);
      t.is((await server.containers()).containers.length, 2);
      t.is((await client.call(listContainerStats, { filter: undefined })).stats.length, 2);
      t.is((await client.call(listPodSandboxStats, { filter: undefined })).stats.length, pods);
      t.is((await server.exec(beside, 'true')).exitCode, 0);
      const other = await server.pod('other', {}, handler);
      t.is((await server.exit(await server.sh(other, 'c', 'exit 5'))).exitCode, 5);
      await client.call(removePodSandbox, { podSandboxId: other });
    };
    await works(2);

    /** The request ends with this error, which says why, although nothing can end the access. */
    const fails = async (call: Promise<unknown>, message: RegExp) => {
      const error = await t.throwsAsync<CriError>(call, { message });
      t.is(error.code, StatusCode.UNAVAILABLE);
    };
    const create = server.create(pod, 'more', { command: ['true'], mounts }, { timeoutMs });
    const inner = Mount.create({ hostPath: server.directory, containerPath: '/volume/inner' });
    const config = { command: ['true'], mounts: [...mounts, inner] };
    const createNested = server.create(nested, 'more', config, { timeoutMs });
    await Promise.all([
      fails(create, /config\.mounts\[0\]\.host_path: .*timed out/),
      fails(createNested, /config\.mounts\[1\]\.container_path: .*timed out/),
    ]);
    await client.call(removePodSandbox, { podSandboxId: nested }, { timeoutMs });
    const unkillable = /processes \d+ do not exit after SIGKILL/;
    await fails(client.call(stopContainer, { containerId: stuck, timeout: 0n }, { timeoutMs }), unkillable);
    await works(1);
    await fails(client.call(stopPodSandbox, { podSandboxId: pod }, { timeoutMs }), unkillable);

    t.is(await server.end('SIGTERM'), 0);
    const length = (await server.log()).length;
    await server.start();
    t.notRegex((await server.log()).slice(length), /Waiting for commands/);
    t.is((await server.status(stuck)).state, ContainerState.CONTAINER_RUNNING);
    await fails(client.call(removePodSandbox, { podSandboxId: pod }, { timeoutMs }), unkillable);

    volume.resume();
    t.is((await server.exit(stuck)).exitCode, 137);
    await client.call(stopPodSandbox, { podSandboxId: pod }, { timeoutMs });
    await client.call(removePodSandbox, { podSandboxId: pod }, { timeoutMs });
    t.deepEqual((await server.containers()).containers, []);
  });
}

test.serial('a storage of BFC files stalls under pulls', async (t) => {
  let nas = '';
  let amid: (() => unknown) | undefined;
  const { images, store, top } = await service(t, {
    directory: '',
    storageDirectory: () => Promise.resolve(nas),
    accessMs: 3_000,
    readLayout: stoppingAmid(() => amid?.()),
  });
  const built = image('one');
  const source = await packImages(join(top, 'a.bfc'), { [NAME]: built });
  nas = join(top, 'nas');
  const volume = await stallingVolume(t, nas, source);
  const fails = async (address: string) => {
    const error = await failure(t, images.pull(address));
    t.is(error?.code, StatusCode.UNAVAILABLE);
    t.regex(error?.message ?? '', /nas\/a\.bfc" has not answered for 3 s; is its filesystem stalled\?/);
  };
  amid = async () => {
    amid = undefined;
    await volume.stall();
  };
  await fails('bfc://nas:a.bfc');
  // More than there are threads for files, and this process goes on.
  const pulls = Array.from({ length: 6 }, (_, index) => fails(`bfc://nas:a.bfc:localhost/${String(index)}`));
  await volume.waiting(2);
  t.true((await readFile(source)).length > 0);
  await Promise.all(pulls);
  t.deepEqual([images.list(), await store.listLayers()], [[], []]);

  volume.resume();
  await eventually('the end of the accesses', async () => (await openFiles()).length === 0);
  t.is(await images.pull('bfc://nas:a.bfc'), built.configDigest);
});
