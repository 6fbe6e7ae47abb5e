import type { RuntimeServiceService } from '../../../api/gen/cri.ts';
import type { Handlers } from '../handlers.ts';
import { matchesStats, toContainerStats } from '../map/container.ts';
import { chunks } from './services.ts';
import type { Services } from './services.ts';

/** ContainerStats, ListContainerStats, StreamContainerStats. */
export function statsCalls({ stats, images }: Services): Handlers<typeof RuntimeServiceService> {
  const list = async (filter: Parameters<typeof matchesStats>[1]) => {
    const { mountpoint } = await images.fsInfo();
    const figures = await stats.list((record) => matchesStats(record, filter));
    return figures.map(({ record, usage, written }) => toContainerStats(record, usage, written, mountpoint));
  };
  return {
    containerStats: async ({ containerId }) => {
      const { mountpoint } = await images.fsInfo();
      const { record, usage, written } = await stats.of(containerId);
      return { stats: toContainerStats(record, usage, written, mountpoint) };
    },
    listContainerStats: async ({ filter }) => ({ stats: await list(filter) }),
    streamContainerStats: async function* ({ filter }) {
      for (const containerStats of chunks(await list(filter))) yield { containerStats };
    },
  };
}
