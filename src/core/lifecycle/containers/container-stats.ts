import { messageOf } from '../../../utils/errors.ts';
import type { Clock } from '../../model/clock.ts';
import type { ContainerRecord } from '../../model/container.ts';
import type { Logger } from '../../model/logger.ts';
import type { ResourceUsage } from '../../model/resource-usage.ts';
import type { PodService } from '../pods/pod-service.ts';
import { UsageSampler } from '../usage-sampler.ts';
import type { Sampled } from '../usage-sampler.ts';
import type { ContainerService } from './container-service.ts';
import type { MeasuredUsage } from './writable-usage.ts';

/** The statistics of one container; values that cannot be read are undefined. */
export interface ContainerFigures {
  record: ContainerRecord;
  usage: Sampled<{ resources: ResourceUsage }> | undefined;
  /** Its disk usage, and the time of the measurement. */
  written: MeasuredUsage | undefined;
}

export interface ContainerStatsOptions {
  pods: Pick<PodService, 'backendOf'>;
  containers: Pick<ContainerService, 'get' | 'list' | 'usage'>;
  clock: Pick<Clock, 'monotonic'>;
  logger: Logger;
}

/** Reads the statistics of containers (CRI ContainerStats). */
export class ContainerStatsService {
  readonly #options: ContainerStatsOptions;
  readonly #sampler: UsageSampler<{ resources: ResourceUsage }>;

  constructor(options: ContainerStatsOptions) {
    this.#options = options;
    this.#sampler = new UsageSampler(options.clock);
  }

  /** @throws CriError NOT_FOUND, INVALID_ARGUMENT for an ambiguous prefix, and errors of the runner. */
  async of(id: string): Promise<ContainerFigures> {
    return this.#figures(this.#options.containers.get(id));
  }

  /** Those of all matching containers that have not exited. A failure of one is logged and does not affect the others. */
  async list(matches: (record: ContainerRecord) => boolean): Promise<ContainerFigures[]> {
    const { containers, logger } = this.#options;
    const records = containers.list().filter((record) => record.phase !== 'exited' && matches(record));
    const all = await Promise.all(
      records.map((record) =>
        this.#figures(record).catch((error: unknown) => {
          logger.warn('Reading container statistics failed', { containerId: record.id, error: messageOf(error) });
          return { record, usage: undefined, written: undefined };
        }),
      ),
    );
    // Removed meanwhile.
    const present = new Set(containers.list().map(({ id }) => id));
    return all.filter(({ record }) => present.has(record.id));
  }

  /** What a container has written, with a failure logged: its processor and memory count also while its store cannot be asked. */
  async written({ id }: ContainerRecord): Promise<MeasuredUsage | undefined> {
    const { containers, logger } = this.#options;
    try {
      return await containers.usage(id);
    } catch (error) {
      logger.warn('Reading the disk usage of a container failed', { containerId: id, error: messageOf(error) });
      return undefined;
    }
  }

  async #figures(record: ContainerRecord): Promise<ContainerFigures> {
    const { runner } = this.#options.pods.backendOf(record.sandboxId);
    const read = async () => {
      const resources = await runner.usage(record.id);
      return resources && { resources };
    };
    const usage = record.phase === 'running' ? await this.#sampler.sample(record.id, read) : undefined;
    return { record, usage, written: await this.written(record) };
  }
}
