import type { ContainerStats, RuntimeServiceService } from '../../../api/gen/cri.ts';
import type { ContainerRecord } from '../../core/model/container.ts';
import { messageOf } from '../../utils/errors.ts';
import type { Handlers } from '../handlers.ts';
import { matchesStats, toContainerStats } from '../map/container.ts';
import { chunks } from './services.ts';
import type { Services } from './services.ts';

/** ContainerStats, ListContainerStats, StreamContainerStats. */
export function statsCalls({ pods, containers, images, logger }: Services): Handlers<typeof RuntimeServiceService> {
  const statsOf = async (record: ContainerRecord, mountpoint: string): Promise<ContainerStats> => {
    const usage = record.phase === 'running' ? await pods.runnerOf(record.sandboxId).usage(record.id) : undefined;
    return toContainerStats(record, usage, await containers.usage(record.id), mountpoint);
  };
  const list = async (filter: Parameters<typeof matchesStats>[1]) => {
    const { mountpoint } = await images.fsInfo();
    const records = containers.list().filter((record) => record.phase !== 'exited' && matchesStats(record, filter));
    const all = await Promise.all(
      records.map(async (record) => {
        try {
          return await statsOf(record, mountpoint);
        } catch (error) {
          // The kubelet needs the others: it evicts by them.
          logger.warn('Cannot read the usage of a container', { containerId: record.id, error: messageOf(error) });
          return [];
        }
      }),
    );
    return all.flat();
  };
  return {
    containerStats: async ({ containerId }) => {
      const { mountpoint } = await images.fsInfo();
      return { stats: await statsOf(containers.get(containerId), mountpoint) };
    },
    listContainerStats: async ({ filter }) => ({ stats: await list(filter) }),
    streamContainerStats: async function* ({ filter }) {
      for (const containerStats of chunks(await list(filter))) yield { containerStats };
    },
  };
}
