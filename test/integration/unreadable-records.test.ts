import test from 'ava';
import { ContainerState, ListImagesRequest, PodSandboxState } from '../../api/gen/cri.ts';
import { ImageServiceService, RuntimeServiceService } from '../../api/gen/cri.ts';
import { IMAGE, ServerFixture } from './server-fixture.ts';
import { FAULTY_PROGRAM, Faults } from './walk-faults.ts';

/** Reads of record files, as the points of a start name them. */
const RECORD = /^read:\w+ (?:root|state)\/\S*(?:\.json|\.proxmox-lxcri|\/lock)#0$/;
/** Records of pods, containers, images and layers, without which the server does not start, and its own marks. */
const VITAL = /^read:\w+ root\/(?:\w+\/[\w-]+\.json|overlay\/layers\/ID\/layer\.json|\.proxmox-lxcri|lock)#0$/;

test.serial('no unreadable record loses a pod, container or image', async (t) => {
  const server = await ServerFixture.make(t, '', { program: FAULTY_PROGRAM });
  const { client } = server;
  const faults = new Faults(server.directory);
  const pods = [await server.pod('lxc', {}, 'lxc'), await server.pod('crun', {}, 'crun')];
  const containers: string[] = [];
  for (const pod of pods) {
    const id = await server.sh(pod, 'c', 'exec sleep 1000');
    await server.exec(id, 'touch', '/dev/shm/same');
    containers.push(id);
  }
  const intact = async (what: string) => {
    const { items } = await client.call(RuntimeServiceService.listPodSandbox, { filter: undefined });
    t.deepEqual(items.map(({ id }) => id).sort(), [...pods].sort(), what);
    t.true(
      items.every(({ state }) => state === PodSandboxState.SANDBOX_READY),
      what,
    );
    for (const id of containers) {
      t.is((await server.status(id)).state, ContainerState.CONTAINER_RUNNING, what);
      t.is((await server.exec(id, 'test', '-e', '/dev/shm/same')).exitCode, 0, what);
    }
    const { images } = await client.call(ImageServiceService.listImages, ListImagesRequest.create());
    t.deepEqual(
      images.map(({ repoTags }) => repoTags),
      [[IMAGE]],
      what,
    );
  };

  await server.end('SIGKILL');
  await server.start();
  const points = [...new Set((await faults.arm()).passed)].filter((point) => RECORD.test(point));
  t.log(points.join('\n'));
  t.true(points.length >= 9);
  for (const point of points) {
    await server.end('SIGKILL');
    await faults.armStart({ point, how: 'fail', errno: 'EIO', always: true });
    const refusal = await server.start().then(
      () => undefined,
      (error: unknown) => String(error),
    );
    if (VITAL.test(point)) t.regex(refusal ?? 'it started', /EIO/, point);
    else t.is(refusal, undefined, point);
    if (refusal === undefined) t.true((await faults.arm()).hits > 0, point);
    await server.end('SIGKILL');
    await server.start();
    await intact(point);
  }
});
