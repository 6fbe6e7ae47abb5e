import { messageOf } from '../../../utils/errors.ts';
import type { ContainerRecord } from '../../model/container.ts';
import type { ResourceUsage } from '../../model/resource-usage.ts';
import type { Logger } from '../../model/logger.ts';
import type { PodService } from '../pods/pod-service.ts';
import type { ContainerService } from './container-service.ts';
import type { Measured } from './writable-usage.ts';

/** The statistics of one container; values that cannot be read are undefined. */
export interface ContainerFigures {
  record: ContainerRecord;
  usage: ResourceUsage | undefined;
  /** Its disk usage, and the time of the measurement. */
  written: Measured | undefined;
}

/** Reads the statistics of containers (CRI ContainerStats). */
export class ContainerStatsService {
  readonly #pods: Pick<PodService, 'backendOf'>;
  readonly #containers: Pick<ContainerService, 'get' | 'list' | 'usage'>;
  readonly #logger: Logger;

  constructor(
    pods: Pick<PodService, 'backendOf'>,
    containers: Pick<ContainerService, 'get' | 'list' | 'usage'>,
    logger: Logger,
  ) {
    this.#pods = pods;
    this.#containers = containers;
    this.#logger = logger;
  }

  /** @throws CriError NOT_FOUND, INVALID_ARGUMENT for an ambiguous prefix, and errors of the runner. */
  async of(id: string): Promise<ContainerFigures> {
    return this.#figures(this.#containers.get(id));
  }

  /** Those of all matching containers that have not exited. A failure of one is logged and does not affect the others. */
  async list(matches: (record: ContainerRecord) => boolean): Promise<ContainerFigures[]> {
    const records = this.#containers.list().filter((record) => record.phase !== 'exited' && matches(record));
    const all = await Promise.all(
      records.map((record) =>
        this.#figures(record).catch((error: unknown) => {
          this.#logger.warn('Reading container statistics failed', {
            containerId: record.id,
            error: messageOf(error),
          });
          return { record, usage: undefined, written: undefined };
        }),
      ),
    );
    // Removed meanwhile.
    const present = new Set(this.#containers.list().map(({ id }) => id));
    return all.filter(({ record }) => present.has(record.id));
  }

  async #figures(record: ContainerRecord): Promise<ContainerFigures> {
    const { runner } = this.#pods.backendOf(record.sandboxId);
    const usage = record.phase === 'running' ? await runner.usage(record.id) : undefined;
    // Its processor and memory count also while its store cannot be asked, such as one on a suspended pool.
    const written = await this.#containers.usage(record.id).catch((error: unknown) => {
      this.#logger.warn('Reading the disk usage of a container failed', {
        containerId: record.id,
        error: messageOf(error),
      });
      return undefined;
    });
    return { record, usage, written };
  }
}
