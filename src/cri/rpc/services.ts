import type { ContainerStatus } from '../../../api/gen/cri.ts';
import type { Config } from '../../core/config/schema.ts';
import type { ContainerChanges } from '../../core/lifecycle/containers/container-changes.ts';
import type { ContainerService } from '../../core/lifecycle/containers/container-service.ts';
import type { ContainerSessions } from '../../core/lifecycle/containers/container-sessions.ts';
import type { ContainerSnapshots } from '../../core/lifecycle/containers/container-snapshots.ts';
import type { ContainerStatsService } from '../../core/lifecycle/containers/container-stats.ts';
import type { EventHub } from '../../core/lifecycle/events/event-hub.ts';
import type { ImageCommits } from '../../core/lifecycle/images/image-commits.ts';
import type { ImageTransfers } from '../../core/lifecycle/images/image-transfers.ts';
import type { ImageService } from '../../core/lifecycle/images/image-service.ts';
import type { PodStatsService } from '../../core/lifecycle/pods/pod-stats.ts';
import type { PodMetricsService } from '../../core/lifecycle/pods/pod-metrics.ts';
import type { PodService } from '../../core/lifecycle/pods/pod-service.ts';
import type { Backend } from '../../core/model/backend.ts';
import type { Clock } from '../../core/model/clock.ts';
import type { ContainerRecord } from '../../core/model/container.ts';
import type { Logger } from '../../core/model/logger.ts';
import { toContainerStatus } from '../map/container.ts';
import { imageName } from '../map/image-name.ts';
import type { StreamingServer } from '../streaming/streaming-server.ts';

/** The services that the RPC groups use. */
export interface Services {
  pods: PodService;
  containers: ContainerService;
  images: ImageService;
  sessions: ContainerSessions;
  changes: ContainerChanges;
  snapshots: ContainerSnapshots;
  commits: ImageCommits;
  transfers: ImageTransfers;
  stats: ContainerStatsService;
  podStats: PodStatsService;
  podMetrics: PodMetricsService;
  backends: readonly Backend[];
  events: EventHub;
  streaming: Pick<StreamingServer, 'offer'>;
  /** The reason why this host cannot run pods; undefined when it can. Never fails. */
  hostProblem: () => Promise<{ reason: string; message: string } | undefined>;
  config: Config;
  /** What creates the cgroups of pods: runtime.cgroup_driver with "auto" resolved. */
  cgroupDriver: 'cgroupfs' | 'systemd';
  clock: Clock;
  logger: Logger;
  /** The version of this program. */
  version: string;
}

/** The status of a container, for ContainerStatus and events. */
export function statusOf({ images, config }: Services, record: ContainerRecord): ContainerStatus {
  const image = images.status(record.imageId);
  return toContainerStatus(record, imageName(record.spec.image, image, config.images.default_registry));
}

/** The statuses of a pod's containers, for PodSandboxStatus and events. */
export function statusesOf(services: Services, sandboxId: string): ContainerStatus[] {
  const own = services.containers.list().filter((record) => record.sandboxId === sandboxId);
  return own.map((record) => statusOf(services, record));
}

/** Verbose information: CRI has a map of strings, crictl expects JSON in them. */
export function info(details: Record<string, unknown>): Record<string, string> {
  return {
    info: JSON.stringify(details, (_, value: unknown) => (typeof value === 'bigint' ? value.toString() : value)),
  };
}

/** Bytes of the items in one message of a streaming list; the kubelet's client takes 16 MiB. */
const CHUNK_BYTES = 2 ** 20;

/**
 * Splits a list into messages of bounded size (CRI streaming lists: each item once, no empty message): of at most 1 MiB, or of
 * one item that is larger.
 */
export function* chunks<T>(items: readonly T[], codec: { encode(item: T): { finish(): Uint8Array } }): Generator<T[]> {
  let part: T[] = [];
  let bytes = 0;
  for (const item of items) {
    const { length } = codec.encode(item).finish();
    if (part.length > 0 && bytes + length > CHUNK_BYTES) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push(item);
    bytes += length;
  }
  if (part.length > 0) yield part;
}
