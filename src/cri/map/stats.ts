import { ContainerStats, PodSandboxStats } from '../../../api/gen/cri.ts';
import type { CpuUsage, MemoryUsage, PodSandboxStatsFilter } from '../../../api/gen/cri.ts';
import type { ContainerFigures } from '../../core/lifecycle/containers/container-stats.ts';
import type { PodFigures } from '../../core/lifecycle/pods/pod-stats.ts';
import { storeNameOf } from '../../core/lifecycle/rootfs-place.ts';
import type { ResourceUsage } from '../../core/model/resource-usage.ts';
import type { SandboxRecord } from '../../core/model/sandbox.ts';
import { defined } from '../../utils/object.ts';
import { matchesLabels } from './filter.ts';

/**
 * The statistics of a container; what it has written is on the filesystem of its store, whose mount point `mountpoints` has by
 * the store's name. Values that the kernel does not provide are absent.
 */
export function toContainerStats(
  { record, usage, written }: ContainerFigures,
  mountpoints: ReadonlyMap<string, string>,
): ContainerStats {
  const { metadata, labels, annotations } = record.spec;
  return ContainerStats.create({
    attributes: { id: record.id, metadata, labels, annotations },
    ...(usage !== undefined && processorAndMemory(usage)),
    ...(written !== undefined && {
      writableLayer: {
        timestamp: written.at,
        fsId: { mountpoint: mountpoints.get(storeNameOf(record)) ?? '' },
        usedBytes: { value: written.bytes },
        inodesUsed: { value: written.inodes },
      },
    }),
  });
}

/** The statistics of a pod and its containers. Values that its provider does not know are absent, as its network's are. */
export function toPodSandboxStats(
  { record, usage, containers }: PodFigures,
  mountpoints: ReadonlyMap<string, string>,
): PodSandboxStats {
  const { metadata, labels, annotations } = record.spec;
  return PodSandboxStats.create({
    attributes: { id: record.id, metadata, labels, annotations },
    linux: {
      ...(usage !== undefined && {
        ...processorAndMemory(usage),
        process: { timestamp: usage.timestamp, ...defined({ processCount: value(usage.processes) }) },
      }),
      containers: containers.map((figures) => toContainerStats(figures, mountpoints)),
    },
  });
}

/** Whether ListPodSandboxStats returns a record: all conditions must match; the id may be a prefix. */
export function matchesPodStats(record: SandboxRecord, filter: PodSandboxStatsFilter | undefined): boolean {
  return (
    filter === undefined || (record.id.startsWith(filter.id) && matchesLabels(record.spec.labels, filter.labelSelector))
  );
}

function processorAndMemory(usage: ResourceUsage): { cpu: Partial<CpuUsage>; memory: Partial<MemoryUsage> } {
  const { timestamp } = usage;
  return {
    cpu: { timestamp, ...defined({ usageCoreNanoSeconds: value(usage.cpuNanoseconds) }) },
    memory: {
      timestamp,
      ...defined({
        workingSetBytes: value(usage.memoryWorkingSetBytes),
        usageBytes: value(usage.memoryUsageBytes),
        rssBytes: value(usage.memoryRssBytes),
        pageFaults: value(usage.pageFaults),
        majorPageFaults: value(usage.majorPageFaults),
      }),
    },
  };
}

function value(number: bigint | undefined): { value: bigint } | undefined {
  return number === undefined ? undefined : { value: number };
}
