import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import {
  ContainerState,
  CreateContainerRequest,
  ImageServiceService,
  ImageStatusRequest,
  ListPodSandboxRequest,
  PodSandboxState,
  PullImageRequest,
  RemoveImageRequest,
  RunPodSandboxRequest,
  RuntimeServiceService,
} from '../../api/gen/cri.ts';
import type { ContainerStatus } from '../../api/gen/cri.ts';
import type { CallOptions } from '../../src/cli/client/server.ts';
import { eventually } from '../lib/eventually.ts';
import { IMAGE } from './server-fixture.ts';
import type { ServerFixture } from './server-fixture.ts';

/** An RPC of the walk, made repeatedly with new objects each time. */
export interface Stage {
  name: string;
  /** Creates what the call needs, without any fault. */
  prepare: () => Promise<Visit>;
}

/** One execution of an RPC. */
export interface Visit {
  /** Makes the call; repeats it after a failure, as the kubelet would. */
  call: (options?: CallOptions) => Promise<unknown>;
  /** Checks the effect of a success. @throws Error for a contradiction. */
  check: () => Promise<void>;
  /** Removes what exists of it. */
  clean: () => Promise<void>;
}

const { runPodSandbox, createContainer, startContainer, stopContainer, removeContainer } = RuntimeServiceService;
const { stopPodSandbox, removePodSandbox, podSandboxStatus, listPodSandbox, containerStatus } = RuntimeServiceService;
const { pullImage, removeImage, imageStatus } = ImageServiceService;
const exited = ContainerState.CONTAINER_EXITED;
/** A container that logs its start and end, and has its own exit code. */
const SCRIPT = "trap 'echo bye; exit 42' TERM; echo begin; sleep 3600 & wait";

/** The calls for one handler's pods and containers; the containers belong to the permanent pod. */
export function podStages(server: ServerFixture, handler: string, walk: { readonly home: string }): Stage[] {
  const pod = () => walk.home;
  const { client } = server;
  let number = 0;
  const fresh = (what: string) => `${what}-${handler}-${String((number += 1))}`;

  const pods = async (uid: string) => {
    const { items } = await client.call(listPodSandbox, ListPodSandboxRequest.create());
    return items.filter(({ metadata }) => metadata?.uid === uid);
  };
  const removePods = async (uid: string, name: string) => {
    for (const { id } of await pods(uid)) await client.call(removePodSandbox, { podSandboxId: id });
    await rm(join(server.directory, 'logs', name), { recursive: true, force: true });
  };
  const runPod = (): Visit & { id: () => string; name: string } => {
    const name = fresh('pod');
    const config = server.podConfig(name, { portMappings: [{ containerPort: 80, hostPort: 23_000 }] });
    const metadata = config.metadata ?? { name, namespace: 'test', uid: name, attempt: 0 };
    let id = '';
    return {
      name,
      id: () => id,
      async call(options) {
        // A pod that exists and is not ready is stopped and replaced by the next attempt.
        for (const there of await pods(metadata.uid)) {
          if (there.state === PodSandboxState.SANDBOX_READY) continue;
          await client.call(stopPodSandbox, { podSandboxId: there.id });
          metadata.attempt = Math.max(metadata.attempt, (there.metadata?.attempt ?? 0) + 1);
        }
        const request = RunPodSandboxRequest.create({ config: { ...config, metadata }, runtimeHandler: handler });
        ({ podSandboxId: id } = await client.call(runPodSandbox, request, options));
      },
      async check() {
        const { status } = await client.call(podSandboxStatus, { podSandboxId: id, verbose: false });
        expect('state of the pod', status?.state, PodSandboxState.SANDBOX_READY);
        if (!status?.network?.ip) throw new Error('the pod has no address');
      },
      clean: () => removePods(metadata.uid, name),
    };
  };

  const status = (id: string) => server.status(id);
  const newContainer = (podId: () => string, podName: string) => {
    const name = fresh('c');
    const log = join(server.directory, 'logs', podName, `${name}.log`);
    let id = '';
    const request = () =>
      CreateContainerRequest.create({
        podSandboxId: podId(),
        config: {
          metadata: { name, attempt: 0 },
          image: { image: IMAGE },
          logPath: `${name}.log`,
          command: ['sh', '-c', SCRIPT],
        },
      });
    return {
      id: () => id,
      create: async (options?: CallOptions) => {
        ({ containerId: id } = await client.call(createContainer, request(), options));
      },
      start: (options?: CallOptions) => client.call(startContainer, { containerId: id }, options),
      state: async () => (await status(id)).state,
      begun: () => eventually('the first line', async () => (await lines(log)).length > 0),
      lines: () => lines(log),
      clean: async () => {
        const { containers } = await server.containers();
        for (const each of containers) {
          if (each.metadata?.name === name) await client.call(removeContainer, { containerId: each.id });
        }
        await rm(log, { force: true });
      },
    };
  };
  const running = async (podId = pod, podName = 'home') => {
    const container = newContainer(podId, podName);
    await container.create();
    await container.start();
    await container.begun();
    return container;
  };

  return [
    { name: 'RunPodSandbox', prepare: () => Promise.resolve(runPod()) },
    {
      name: 'CreateContainer',
      prepare: () => {
        const container = newContainer(pod, 'home');
        return Promise.resolve({
          call: container.create,
          async check() {
            expect('state', await container.state(), ContainerState.CONTAINER_CREATED);
            await container.start();
            await container.begun();
            await client.call(stopContainer, { containerId: container.id(), timeout: 3600n });
            await stoppedInOrder(await status(container.id()), container.lines);
          },
          clean: container.clean,
        });
      },
    },
    {
      name: 'StartContainer',
      async prepare() {
        let container = newContainer(pod, 'home');
        await container.create();
        const all = [container];
        return {
          async call(options) {
            const now = await status(container.id());
            // A container that ended in a failed start is replaced.
            if (now.state === exited) {
              expect('a failed start', [now.exitCode, now.reason], [128, 'StartError']);
              container = newContainer(pod, 'home');
              all.push(container);
              await container.create();
            } else if (now.state === ContainerState.CONTAINER_RUNNING) return;
            await container.start(options);
          },
          async check() {
            expect('state', await container.state(), ContainerState.CONTAINER_RUNNING);
            await container.begun();
            await client.call(stopContainer, { containerId: container.id(), timeout: 3600n });
            await stoppedInOrder(await status(container.id()), container.lines);
          },
          async clean() {
            for (const each of all) await each.clean();
          },
        };
      },
    },
    {
      name: 'StopContainer',
      async prepare() {
        const container = await running();
        return {
          call: (options) => client.call(stopContainer, { containerId: container.id(), timeout: 3600n }, options),
          check: async () => stoppedInOrder(await status(container.id()), container.lines),
          clean: container.clean,
        };
      },
    },
    {
      name: 'RemoveContainer',
      async prepare() {
        const container = await running();
        return {
          call: (options) => client.call(removeContainer, { containerId: container.id() }, options),
          async check() {
            const gone = await client
              .call(containerStatus, { containerId: container.id(), verbose: false })
              .then(() => false)
              .catch(() => true);
            expect('gone', gone, true);
            expect('log', await container.lines(), ['begin']);
          },
          clean: container.clean,
        };
      },
    },
    ...(['StopPodSandbox', 'RemovePodSandbox'] as const).map((name) => ({
      name,
      async prepare() {
        const visit = runPod();
        await visit.call();
        const container = await running(visit.id, visit.name);
        const method = name === 'StopPodSandbox' ? stopPodSandbox : removePodSandbox;
        return {
          call: (options?: CallOptions) =>
            client.call<{ podSandboxId: string }, unknown>(method, { podSandboxId: visit.id() }, options),
          async check() {
            const [there] = await client
              .call(listPodSandbox, ListPodSandboxRequest.create({ filter: { id: visit.id() } }))
              .then(({ items }) => items);
            expect(
              'state of the pod',
              there?.state,
              name === 'StopPodSandbox' ? PodSandboxState.SANDBOX_NOTREADY : undefined,
            );
            if (name === 'StopPodSandbox') {
              const end = await status(container.id());
              expect('end', [end.state, end.exitCode], [exited, 137]);
            }
            expect('log', await container.lines(), ['begin']);
          },
          clean: visit.clean,
        };
      },
    })),
  ];
}

/** PullImage and RemoveImage of `image`, which is in a registry. */
export function imageStages(server: ServerFixture, image: string): { pull: Stage; remove: Stage } {
  const { client } = server;
  const spec = { image };
  const tags = async () => {
    const { image: found } = await client.call(imageStatus, ImageStatusRequest.create({ image: spec }));
    return found?.repoTags;
  };
  const pull = (options?: CallOptions) => client.call(pullImage, PullImageRequest.create({ image: spec }), options);
  const remove = (options?: CallOptions) =>
    client.call(removeImage, RemoveImageRequest.create({ image: spec }), options);
  const clean = async () => {
    await remove();
  };
  return {
    pull: {
      name: 'PullImage',
      prepare: () => Promise.resolve({ call: pull, check: async () => expect('tags', await tags(), [image]), clean }),
    },
    remove: {
      name: 'RemoveImage',
      async prepare() {
        await pull();
        return { call: remove, check: async () => expect('tags', await tags(), undefined), clean };
      },
    },
  };
}

async function stoppedInOrder(end: ContainerStatus, log: () => Promise<string[]>): Promise<void> {
  expect('end', [end.state, end.exitCode], [exited, 42]);
  expect('log', await log(), ['begin', 'bye']);
}

/** What a container wrote, without times. */
async function lines(log: string): Promise<string[]> {
  const content = await readFile(log, 'utf8').catch(() => '');
  return content
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => /^\S+ stdout F (.*)$/.exec(line)?.[1] ?? `broken line ${line}`);
}

function expect(what: string, actual: unknown, expected: unknown): void {
  if (isDeepStrictEqual(actual, expected)) return;
  throw new Error(`${what}: is ${JSON.stringify(actual)}, should be ${JSON.stringify(expected)}`);
}
