import { ContainerStats, PodSandboxStats } from '../../../api/gen/cri.ts';
import type { PodSandboxStatsFilter, RuntimeServiceService } from '../../../api/gen/cri.ts';
import type { Handlers } from '../handlers.ts';
import { matchesStats } from '../map/container.ts';
import { matchesPodStats, toContainerStats, toPodSandboxStats } from '../map/stats.ts';
import { chunks } from './services.ts';
import type { Services } from './services.ts';

/** ContainerStats and PodSandboxStats, each with its List and its Stream. */
export function statsCalls({ stats, podStats, images }: Services): Handlers<typeof RuntimeServiceService> {
  const places = new Map<string, string>();
  /** Mount points do not change: a store that cannot be asked, such as one on a suspended pool, has its last one. */
  const mountpoints = async () => {
    try {
      for (const { store, mountpoint } of await images.fsInfo()) places.set(store, mountpoint);
    } catch {
      // ImageFsInfo reports it.
    }
    return places;
  };
  const list = async (filter: Parameters<typeof matchesStats>[1]) => {
    const points = await mountpoints();
    return (await stats.list((record) => matchesStats(record, filter))).map((each) => toContainerStats(each, points));
  };
  const listPods = async (filter: PodSandboxStatsFilter | undefined) => {
    const points = await mountpoints();
    const figures = await podStats.list((record) => matchesPodStats(record, filter));
    return figures.map((each) => toPodSandboxStats(each, points));
  };
  return {
    containerStats: async ({ containerId }) => {
      return { stats: toContainerStats(await stats.of(containerId), await mountpoints()) };
    },
    listContainerStats: async ({ filter }) => ({ stats: await list(filter) }),
    streamContainerStats: async function* ({ filter }) {
      for (const containerStats of chunks(await list(filter), ContainerStats)) yield { containerStats };
    },
    podSandboxStats: async ({ podSandboxId }) => {
      return { stats: toPodSandboxStats(await podStats.of(podSandboxId), await mountpoints()) };
    },
    listPodSandboxStats: async ({ filter }) => ({ stats: await listPods(filter) }),
    streamPodSandboxStats: async function* ({ filter }) {
      for (const podSandboxStats of chunks(await listPods(filter), PodSandboxStats)) yield { podSandboxStats };
    },
  };
}
