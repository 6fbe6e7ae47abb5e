import { ContainerStats, PodSandboxStats } from '../../../api/gen/cri.ts';
import type { PodSandboxStatsFilter, RuntimeServiceService } from '../../../api/gen/cri.ts';
import type { ContainerFigures } from '../../core/lifecycle/containers/container-stats.ts';
import { storeNameOf } from '../../core/lifecycle/rootfs-place.ts';
import type { Handlers } from '../handlers.ts';
import { matchesStats } from '../map/container.ts';
import { matchesPodStats, toContainerStats, toPodSandboxStats } from '../map/stats.ts';
import { chunks } from './services.ts';
import type { Services } from './services.ts';

/** ContainerStats and PodSandboxStats, each with its List and its Stream. */
export function statsCalls({ stats, podStats, images }: Services): Handlers<typeof RuntimeServiceService> {
  const places = new Map<string, string>();
  /** Mount points do not change: they are asked for until that of each store is known, which takes a program on ZFS. */
  const mountpoints = async (stores: Iterable<string>) => {
    if ([...stores].every((store) => places.has(store))) return places;
    try {
      for (const { store, mountpoint } of await images.fsInfo()) places.set(store, mountpoint);
    } catch {
      // ImageFsInfo reports it.
    }
    return places;
  };
  const list = async (filter: Parameters<typeof matchesStats>[1]) => {
    const figures = await stats.list((record) => matchesStats(record, filter));
    const points = await mountpoints(storesOf(figures));
    return figures.map((each) => toContainerStats(each, points));
  };
  const listPods = async (filter: PodSandboxStatsFilter | undefined) => {
    const figures = await podStats.list((record) => matchesPodStats(record, filter));
    const points = await mountpoints(storesOf(figures.flatMap(({ containers }) => containers)));
    return figures.map((each) => toPodSandboxStats(each, points));
  };
  return {
    containerStats: async ({ containerId }) => {
      const figures = await stats.of(containerId);
      return { stats: toContainerStats(figures, await mountpoints(storesOf([figures]))) };
    },
    listContainerStats: async ({ filter }) => ({ stats: await list(filter) }),
    streamContainerStats: async function* ({ filter }) {
      for (const containerStats of chunks(await list(filter), ContainerStats)) yield { containerStats };
    },
    podSandboxStats: async ({ podSandboxId }) => {
      const figures = await podStats.of(podSandboxId);
      return { stats: toPodSandboxStats(figures, await mountpoints(storesOf(figures.containers))) };
    },
    listPodSandboxStats: async ({ filter }) => ({ stats: await listPods(filter) }),
    streamPodSandboxStats: async function* ({ filter }) {
      for (const podSandboxStats of chunks(await listPods(filter), PodSandboxStats)) yield { podSandboxStats };
    },
  };
}

/** The stores of containers that have written something. */
function storesOf(figures: readonly ContainerFigures[]): Set<string> {
  return new Set(figures.filter(({ written }) => written !== undefined).map(({ record }) => storeNameOf(record)));
}
