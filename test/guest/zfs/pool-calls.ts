import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  ImageServiceService,
  ListContainerStatsRequest,
  PullImageRequest,
  RemoveImageRequest,
  RuntimeServiceService,
} from '../../../api/gen/cri.ts';
import type { ServerFixture } from '../../integration/server-fixture.ts';
import { receiveFile, sendToFile } from './send-receive.ts';

/** The RPCs that a state of a pool may fail, each of which is tried once. */
export type Call =
  | 'ContainerStatus'
  | 'ImageFsInfo'
  | 'ListContainerStats'
  | 'RunPodSandbox'
  | 'CreateContainer'
  | 'StartContainer'
  | 'ExecSync'
  | 'StopContainer'
  | 'PullImage'
  | 'Receive'
  | 'RemoveContainer'
  | 'elsewhere';

/** What the calls of one state are about: containers on the pool. */
export interface Subjects {
  /** One that has ended. */
  ended: string;
  /** One that was created, and one that runs; undefined where the state allows neither. */
  created: string | undefined;
  running: string | undefined;
}

export interface StateCalls {
  subjects: (hasContainers: boolean) => Promise<Subjects>;
  calls: (subjects: Subjects) => readonly (readonly [Call, () => Promise<unknown>])[];
  /** Removes everything that was made since, without an error. */
  clean: () => Promise<void>;
}

const { containerStats, listContainerStats, removeContainer, removePodSandbox, startContainer, stopContainer } =
  RuntimeServiceService;
const FOREVER = 'trap "exit 0" TERM; echo ready; sleep 1000000 & wait';

/**
 * Calls of a server whose handler `lxc` stores root filesystems in the pool under test and `crun` elsewhere. A pod of each stays.
 * @param image is in a registry. @param timeoutMs of each call.
 */
export async function stateCalls(server: ServerFixture, image: string, timeoutMs: number): Promise<StateCalls> {
  const { client } = server;
  const limit = { timeoutMs };
  const spec = { image };
  const pull = () => client.call(ImageServiceService.pullImage, PullImageRequest.create({ image: spec }), limit);
  const removeImage = () =>
    client.call(ImageServiceService.removeImage, RemoveImageRequest.create({ image: spec }), limit);
  const remove = (containerId: string) => client.call(removeContainer, { containerId }, limit);
  const [lxc, crun] = [await server.pod('on-lxc', {}, 'lxc'), await server.pod('on-crun', {}, 'crun')];
  const lasting = await server.sh(crun, 'lasting', FOREVER);
  await server.said('on-crun', 'lasting', 'ready');

  const stream = join(server.directory, 'image.zfs');
  await pull();
  await sendToFile(client, { image }, stream);
  await removeImage();
  let fresh = '';

  const once = async (pod: string, name: string) => {
    const id = await server.sh(pod, name, 'true');
    const { exitCode } = await server.exit(id);
    await remove(id);
    if (exitCode !== 0) throw new Error(`exit code ${String(exitCode)}`);
  };
  return {
    async subjects(hasContainers) {
      const ended = await server.sh(lxc, 'ended', 'true');
      await server.exit(ended);
      if (!hasContainers) return { ended, created: undefined, running: undefined };
      const created = await server.create(lxc, 'created', { command: ['sh', '-c', FOREVER] });
      const running = await server.sh(lxc, 'running', FOREVER);
      await server.said('on-lxc', 'running', 'ready');
      return { ended, created, running };
    },
    calls: ({ ended, created, running }) => [
      ['ContainerStatus', () => server.status(ended)],
      ['ImageFsInfo', () => client.call(ImageServiceService.imageFsInfo, {}, limit)],
      ['ListContainerStats', () => client.call(listContainerStats, ListContainerStatsRequest.create(), limit)],
      ['RunPodSandbox', async () => (fresh = await server.pod('fresh', {}, 'lxc'))],
      ['CreateContainer', () => server.create(lxc, 'new', { command: ['true'] }, limit)],
      ['PullImage', pull],
      ['Receive', () => receiveFile(client, stream)],
      ...(created === undefined || running === undefined
        ? []
        : ([
            ['StartContainer', () => client.call(startContainer, { containerId: created }, limit)],
            ['ExecSync', () => server.exec(running, 'true')],
            ['StopContainer', () => client.call(stopContainer, { containerId: running, timeout: 60n }, limit)],
          ] as const)),
      ['RemoveContainer', () => remove(ended)],
      [
        'elsewhere',
        async () => {
          await once(crun, 'other');
          await server.exec(lasting, 'true');
          await client.call(containerStats, { containerId: lasting }, limit);
        },
      ],
    ],
    async clean() {
      await pull();
      await once(lxc, 'back');
      await removeImage();
      await receiveFile(client, stream);
      await removeImage();
      const { containers } = await server.containers();
      for (const { id } of containers) if (id !== lasting) await remove(id);
      if (fresh !== '') await client.call(removePodSandbox, { podSandboxId: fresh }, limit);
      fresh = '';
      await client.call(ImageServiceService.imageFsInfo, {}, limit);
      for (const pod of ['on-lxc', 'on-crun']) await rm(join(server.directory, 'logs', pod), { recursive: true });
    },
  };
}
