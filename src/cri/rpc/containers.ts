import { Container } from '../../../api/gen/cri.ts';
import type { RuntimeServiceService } from '../../../api/gen/cri.ts';
import type { ContainerRecord } from '../../core/model/container.ts';
import { invalidArgument, unimplemented } from '../../core/model/errors.ts';
import type { Handlers } from '../handlers.ts';
import { containerSpec } from '../map/container-spec.ts';
import { matchesContainer, toContainer } from '../map/container.ts';
import { toOpaque } from '../map/request.ts';
import { containerLimits } from '../map/resources.ts';
import { chunks, info, statusOf } from './services.ts';
import type { Services } from './services.ts';

/** The RPCs of containers: life cycle, status and lists. */
export function containerCalls(services: Services): Handlers<typeof RuntimeServiceService> {
  const { containers } = services;
  const list = (filter: Parameters<typeof matchesContainer>[1]) =>
    containers
      .list()
      .filter((record) => matchesContainer(record, filter))
      .sort((a, b) => Number(b.createdAt - a.createdAt))
      .map(toContainer);
  return {
    createContainer: async ({ podSandboxId, config }, { signal }) => {
      const spec = containerSpec(config);
      return { containerId: await containers.create(podSandboxId, spec, toOpaque(config), signal) };
    },

    startContainer: async ({ containerId }) => {
      await containers.start(containerId);
      return {};
    },

    stopContainer: async ({ containerId, timeout }) => {
      await containers.stop(containerId, timeout);
      return {};
    },

    removeContainer: async ({ containerId }) => {
      await containers.remove(containerId);
      return {};
    },

    listContainers: ({ filter }) => Promise.resolve({ containers: list(filter) }),

    streamContainers: async function* ({ filter }) {
      for (const part of chunks(list(filter), Container)) yield { containers: part };
    },

    containerStatus: async ({ containerId, verbose }) => {
      const record = containers.get(containerId);
      return {
        status: statusOf(services, record),
        info: verbose ? info(await details(services, record)) : {},
      };
    },

    updateContainerResources: async ({ containerId, linux }) => {
      if (linux === undefined) throw invalidArgument('linux', 'is required');
      await containers.update(containerId, containerLimits(linux, 'linux'));
      return {};
    },

    checkpointContainer: ({ containerId }) => {
      containers.get(containerId);
      const what = 'CheckpointContainer: an archive of the state of processes by CRIU';
      throw unimplemented(`${what} (the command "proxmox-lxcri checkpoint" keeps the files of a container on ZFS)`);
    },

    reopenContainerLog: async ({ containerId }) => {
      await containers.reopenLog(containerId);
      return {};
    },
  };
}

/** The keys that crictl inspect reads. */
async function details({ containers }: Services, record: ContainerRecord): Promise<Record<string, unknown>> {
  const { pid, runtimeSpec } = await containers.describe(record);
  return {
    sandboxID: record.sandboxId,
    pid,
    config: record.request,
    runtimeSpec,
  };
}
