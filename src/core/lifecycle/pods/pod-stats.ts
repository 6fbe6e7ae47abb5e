import { messageOf } from '../../../utils/errors.ts';
import type { Logger } from '../../model/logger.ts';
import type { ResourceUsage } from '../../model/resource-usage.ts';
import type { SandboxRecord } from '../../model/sandbox.ts';
import type { ContainerFigures, ContainerStatsService } from '../containers/container-stats.ts';
import type { PodService } from './pod-service.ts';

/** The statistics of one pod; `usage` is undefined when nothing is known. */
export interface PodFigures {
  record: SandboxRecord;
  usage: ResourceUsage | undefined;
  containers: ContainerFigures[];
}

/** Reads the statistics of pods (CRI PodSandboxStats). */
export class PodStatsService {
  readonly #pods: Pick<PodService, 'get' | 'list' | 'usage'>;
  readonly #containers: Pick<ContainerStatsService, 'list'>;
  readonly #logger: Logger;

  constructor(
    pods: Pick<PodService, 'get' | 'list' | 'usage'>,
    containers: Pick<ContainerStatsService, 'list'>,
    logger: Logger,
  ) {
    this.#pods = pods;
    this.#containers = containers;
    this.#logger = logger;
  }

  /** @throws CriError NOT_FOUND, INVALID_ARGUMENT for an ambiguous prefix, and what the provider throws. */
  async of(id: string): Promise<PodFigures> {
    const record = this.#pods.get(id);
    const containers = await this.#containers.list(({ sandboxId }) => sandboxId === record.id);
    return { record, usage: await this.#pods.usage(record), containers };
  }

  /** Those of all matching READY pods. A failure for one is logged and does not affect the others. */
  async list(matches: (record: SandboxRecord) => boolean): Promise<PodFigures[]> {
    const records = this.#pods.list().filter((record) => record.phase === 'ready' && matches(record));
    const containers = Map.groupBy(await this.#containers.list(() => true), ({ record }) => record.sandboxId);
    return Promise.all(
      records.map(async (record) => {
        const usage = await this.#pods.usage(record).catch((error: unknown) => {
          this.#logger.warn('Reading the statistics of a pod failed', {
            podSandboxId: record.id,
            error: messageOf(error),
          });
          return undefined;
        });
        return { record, usage, containers: containers.get(record.id) ?? [] };
      }),
    );
  }
}
