import { messageOf } from '../../../utils/errors.ts';
import type { Clock } from '../../model/clock.ts';
import type { Logger } from '../../model/logger.ts';
import type { SandboxUsage } from '../../model/resource-usage.ts';
import type { SandboxRecord } from '../../model/sandbox.ts';
import type { ContainerFigures, ContainerStatsService } from '../containers/container-stats.ts';
import { UsageSampler } from '../usage-sampler.ts';
import type { Sampled } from '../usage-sampler.ts';
import type { PodService } from './pod-service.ts';

/** The statistics of one pod; `usage` is undefined when nothing is known. */
export interface PodFigures {
  record: SandboxRecord;
  usage: Sampled<SandboxUsage> | undefined;
  containers: ContainerFigures[];
}

export interface PodStatsOptions {
  pods: Pick<PodService, 'get' | 'list' | 'usage'>;
  containers: Pick<ContainerStatsService, 'list'>;
  clock: Pick<Clock, 'monotonic'>;
  logger: Logger;
}

/** Reads the statistics of pods (CRI PodSandboxStats). */
export class PodStatsService {
  readonly #options: PodStatsOptions;
  readonly #sampler: UsageSampler<SandboxUsage>;

  constructor(options: PodStatsOptions) {
    this.#options = options;
    this.#sampler = new UsageSampler(options.clock);
  }

  /** @throws CriError NOT_FOUND, INVALID_ARGUMENT for an ambiguous prefix, and what the provider throws. */
  async of(id: string): Promise<PodFigures> {
    const { pods, containers } = this.#options;
    const record = pods.get(id);
    const own = await containers.list(({ sandboxId }) => sandboxId === record.id);
    return { record, usage: await this.#sample(record), containers: own };
  }

  /** Those of all matching READY pods. A failure for one is logged and does not affect the others. */
  async list(matches: (record: SandboxRecord) => boolean): Promise<PodFigures[]> {
    const { pods, containers } = this.#options;
    const records = pods.list().filter((record) => record.phase === 'ready' && matches(record));
    const wanted = new Set(records.map(({ id }) => id));
    const figures = await containers.list(({ sandboxId }) => wanted.has(sandboxId));
    const byPod = Map.groupBy(figures, ({ record }) => record.sandboxId);
    return Promise.all(
      records.map(async (record) => ({
        record,
        usage: await this.usage(record),
        containers: byPod.get(record.id) ?? [],
      })),
    );
  }

  /** What a pod uses as a whole, with a failure logged. */
  async usage(record: SandboxRecord): Promise<Sampled<SandboxUsage> | undefined> {
    try {
      return await this.#sample(record);
    } catch (error) {
      const values = { podSandboxId: record.id, error: messageOf(error) };
      this.#options.logger.warn('Reading the statistics of a pod failed', values);
      return undefined;
    }
  }

  async #sample(record: SandboxRecord): Promise<Sampled<SandboxUsage> | undefined> {
    if (record.phase !== 'ready') return undefined;
    return this.#sampler.sample(record.id, () => this.#options.pods.usage(record));
  }
}
