import { PodSandbox } from '../../../api/gen/cri.ts';
import type { RuntimeServiceService } from '../../../api/gen/cri.ts';
import { chooseHandler } from '../../core/model/routing.ts';
import type { SandboxRecord } from '../../core/model/sandbox.ts';
import { defined } from '../../utils/object.ts';
import type { Handlers } from '../handlers.ts';
import { toCniResult } from '../map/cni-result.ts';
import { podSpec } from '../map/pod-spec.ts';
import { toOpaque } from '../map/request.ts';
import { podLimits, toLinuxResources } from '../map/resources.ts';
import { matchesSandbox, toPodSandbox, toPodSandboxStatus } from '../map/sandbox.ts';
import { chunks, info, statusesOf } from './services.ts';
import type { Services } from './services.ts';

/** RunPodSandbox, StopPodSandbox, RemovePodSandbox, PodSandboxStatus, UpdatePodSandboxResources, and the lists. */
export function sandboxCalls(services: Services): Handlers<typeof RuntimeServiceService> {
  const {
    pods,
    clock,
    cgroupDriver,
    config: { routing, runtime },
  } = services;
  const list = (filter: Parameters<typeof matchesSandbox>[1]) =>
    pods
      .list()
      .filter((record) => matchesSandbox(record, filter))
      .sort((a, b) => Number(b.createdAt - a.createdAt))
      .map(toPodSandbox);
  const settings = {
    cgroupDriver,
    cgroupParent: runtime.cgroup_parent,
    unprivilegedPorts: runtime.enable_unprivileged_ports,
    unprivilegedIcmp: runtime.enable_unprivileged_icmp,
  };
  return {
    runPodSandbox: async ({ config, runtimeHandler }, { signal, log }) => {
      const spec = podSpec(config, settings);
      const choice = chooseHandler(runtimeHandler, spec, { rules: routing, defaultHandler: runtime.default_handler });
      log({ handler: choice.handler, handlerChosenBy: choice.chosenBy });
      return { podSandboxId: await pods.run(spec, toOpaque(config), choice, signal) };
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
      const details = verbose ? await pods.describe(pods.get(podSandboxId)) : undefined;
      // Nothing is waited for from here on: all is the state at the timestamp, by which the kubelet's evented PLEG tells what is newer.
      const record = pods.get(podSandboxId);
      return {
        status: toPodSandboxStatus(record),
        info:
          details === undefined
            ? {}
            : info({
                ...details,
                runtimeHandler: record.handler,
                handlerChosenBy: record.handlerChosenBy,
                cniResult: toCniResult(record.network?.networks ?? []),
                config: record.request,
                resources: limits(record),
              }),
        containersStatuses: statusesOf(services, record.id),
        timestamp: clock.now(),
      };
    },

    updatePodSandboxResources: async ({ podSandboxId, overhead, resources }) => {
      await pods.updateResources(
        podSandboxId,
        defined({ overhead: podLimits(overhead, 'overhead'), resources: podLimits(resources, 'resources') }),
      );
      return {};
    },

    listPodSandbox: ({ filter }) => Promise.resolve({ items: list(filter) }),

    streamPodSandboxes: async function* ({ filter }) {
      for (const podSandboxes of chunks(list(filter), PodSandbox)) yield { podSandboxes };
    },
  };
}

/** The limits of a pod; undefined without any. */
function limits({ spec: { overhead, resources } }: SandboxRecord): Record<string, unknown> | undefined {
  if (overhead === undefined && resources === undefined) return undefined;
  return {
    ...(overhead !== undefined && { overhead: toLinuxResources(overhead) }),
    ...(resources !== undefined && { resources: toLinuxResources(resources) }),
  };
}
