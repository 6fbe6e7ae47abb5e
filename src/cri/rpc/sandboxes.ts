import type { RuntimeServiceService } from '../../../api/gen/cri.ts';
import { invalidArgument } from '../../core/model/errors.ts';
import type { Handlers } from '../handlers.ts';
import { matchesSandbox, toPodSandbox, toPodSandboxStatus } from '../map/sandbox.ts';
import { chunks, info } from './services.ts';
import type { Services } from './services.ts';

/** RunPodSandbox, StopPodSandbox, RemovePodSandbox, PodSandboxStatus, UpdatePodSandboxResources, and the lists. */
export function sandboxCalls({ pods }: Services): Handlers<typeof RuntimeServiceService> {
  const list = (filter: Parameters<typeof matchesSandbox>[1]) =>
    pods
      .list()
      .filter((record) => matchesSandbox(record, filter))
      .sort((a, b) => Number(b.createdAt - a.createdAt))
      .map(toPodSandbox);
  return {
    runPodSandbox: async ({ config, runtimeHandler }) => {
      if (config === undefined) throw invalidArgument('config', 'is required');
      return { podSandboxId: await pods.run(config, runtimeHandler) };
    },

    stopPodSandbox: async ({ podSandboxId }) => {
      await pods.stop(podSandboxId);
      return {};
    },

    removePodSandbox: async ({ podSandboxId }) => {
      await pods.remove(podSandboxId);
      return {};
    },

    podSandboxStatus: async ({ podSandboxId, verbose }) => {
      const record = pods.get(podSandboxId);
      return {
        status: toPodSandboxStatus(record),
        info: verbose
          ? info({ ...(await pods.describe(record)), config: record.config, resources: record.resources })
          : {},
        containersStatuses: [],
        // Zero tells the kubelet that the containers are not in this answer.
        timestamp: 0n,
      };
    },

    updatePodSandboxResources: async ({ podSandboxId, overhead, resources }) => {
      await pods.updateResources(podSandboxId, {
        ...(overhead !== undefined && { overhead }),
        ...(resources !== undefined && { resources }),
      });
      return {};
    },

    listPodSandbox: ({ filter }) => Promise.resolve({ items: list(filter) }),

    streamPodSandboxes: async function* ({ filter }) {
      for (const podSandboxes of chunks(list(filter))) yield { podSandboxes };
    },
  };
}
