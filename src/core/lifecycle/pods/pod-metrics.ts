import { Slots } from '../../../utils/async/slots.ts';
import { messageOf } from '../../../utils/errors.ts';
import type { Clock } from '../../model/clock.ts';
import type { ContainerRecord } from '../../model/container.ts';
import type { Logger } from '../../model/logger.ts';
import type { MetricGroup } from '../../model/metric-groups.ts';
import type { SandboxUsage } from '../../model/resource-usage.ts';
import type { Capacity } from '../../model/rootfs-mounts.ts';
import type { SandboxRecord } from '../../model/sandbox.ts';
import type { ProcessDetails, UsageDetails } from '../../model/usage-details.ts';
import type { ContainerService } from '../containers/container-service.ts';
import type { ContainerStatsService } from '../containers/container-stats.ts';
import type { MeasuredUsage } from '../containers/writable-usage.ts';
import type { EventHub } from '../events/event-hub.ts';
import { Measurements } from '../measurements.ts';
import type { Measured } from '../measurements.ts';
import type { PodService } from './pod-service.ts';
import type { PodStatsService } from './pod-stats.ts';

/** More descriptors take long to be counted. */
const LARGE = 10_000n;
/** Containers that are read at one time: others have their turn between them. */
const AT_ONCE = 16;

/** What takes longer to find out, and is measured in the background. */
interface Survey {
  processes: ProcessDetails | undefined;
  /** Of the filesystem with its root. */
  capacity: Capacity | undefined;
}

/** The metrics of a running container; undefined what is not known, or not wanted. */
export interface ContainerMetricFigures {
  record: ContainerRecord;
  details: UsageDetails;
  survey: Measured<Survey> | undefined;
  written: MeasuredUsage | undefined;
}

export interface PodMetricFigures {
  record: SandboxRecord;
  usage: SandboxUsage | undefined;
  containers: ContainerMetricFigures[];
}

export interface PodMetricsOptions {
  /** What is not included is not read, where it costs more than some files of the kernel. */
  included: ReadonlySet<MetricGroup>;
  pods: Pick<PodService, 'list' | 'backendOf'>;
  containers: Pick<ContainerService, 'list'>;
  podStats: Pick<PodStatsService, 'usage'>;
  stats: Pick<ContainerStatsService, 'written'>;
  events: Pick<EventHub, 'subscribe'>;
  clock: Clock;
  logger: Logger;
}

/** Reads the figures of pods and containers for metrics (CRI ListPodSandboxMetrics). */
export class PodMetricsService {
  readonly #options: PodMetricsOptions;
  readonly #surveys: Measurements<Survey>;
  readonly #slots = new Slots(AT_ONCE);

  constructor(options: PodMetricsOptions) {
    this.#options = options;
    this.#surveys = new Measurements({
      measure: (id) => this.#survey(id),
      isLarge: ({ processes }) => (processes?.descriptors ?? 0n) > LARGE,
      clock: options.clock,
      onError: (id, error) => {
        this.#warn(id, error);
      },
    });
    options.events.subscribe(({ kind, containerId }) => {
      if (kind === 'deleted') this.#surveys.forget(containerId);
    });
  }

  /** Those of all READY pods and their running containers. A failure of one is logged and does not affect the others. */
  async list(): Promise<PodMetricFigures[]> {
    const { pods, containers, podStats, included } = this.#options;
    const records = pods.list().filter(({ phase }) => phase === 'ready');
    const running = Map.groupBy(
      containers.list().filter(({ phase }) => phase === 'running'),
      ({ sandboxId }) => sandboxId,
    );
    return Promise.all(
      records.map(async (record) => {
        const usage = included.has('network') ? await podStats.usage(record) : undefined;
        const figures = await Promise.all((running.get(record.id) ?? []).map((each) => this.#figures(each)));
        return { record, usage, containers: figures.filter((each) => each !== undefined) };
      }),
    );
  }

  async #figures(record: ContainerRecord): Promise<ContainerMetricFigures | undefined> {
    const { pods, stats, included } = this.#options;
    try {
      const { runner } = pods.backendOf(record.sandboxId);
      const details = await this.#slots.run(record.id, undefined, () => runner.usageDetails(record.id));
      if (details === undefined) return undefined;
      const isSurveyed = included.has('disk') || included.has('process');
      const survey = isSurveyed ? await this.#surveyed(record.id) : undefined;
      const written = included.has('disk') ? await stats.written(record) : undefined;
      return { record, details, survey, written };
    } catch (error) {
      this.#warn(record.id, error);
      return undefined;
    }
  }

  async #surveyed(id: string): Promise<Measured<Survey> | undefined> {
    try {
      return await this.#surveys.of(id);
    } catch (error) {
      this.#warn(id, error);
      return undefined;
    }
  }

  async #survey(id: string): Promise<Survey | undefined> {
    const { pods, containers, included } = this.#options;
    const record = containers.list().find((each) => each.id === id);
    if (record?.phase !== 'running') return undefined;
    const { runner, platform } = pods.backendOf(record.sandboxId);
    return {
      processes: included.has('process') ? await runner.processDetails(id) : undefined,
      capacity: included.has('disk') ? await platform.rootfs.capacity(id) : undefined,
    };
  }

  #warn(containerId: string, error: unknown): void {
    this.#options.logger.warn('Reading the metrics of a container failed', { containerId, error: messageOf(error) });
  }
}
