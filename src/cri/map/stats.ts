import { ContainerStats, PodSandboxStats } from '../../../api/gen/cri.ts';
import type {
  CpuUsage,
  IoUsage,
  MemoryUsage,
  NetworkInterfaceUsage,
  NetworkUsage,
  PodSandboxStatsFilter,
  PsiStats,
  SwapUsage,
} from '../../../api/gen/cri.ts';
import type { ContainerFigures } from '../../core/lifecycle/containers/container-stats.ts';
import type { PodFigures } from '../../core/lifecycle/pods/pod-stats.ts';
import { storeNameOf } from '../../core/lifecycle/rootfs-place.ts';
import type { InterfaceCounters, Pressure, ResourceUsage } from '../../core/model/resource-usage.ts';
import type { SandboxRecord } from '../../core/model/sandbox.ts';
import type { Sampled } from '../../core/lifecycle/usage-sampler.ts';
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
  const mountpoint = mountpoints.get(storeNameOf(record));
  return ContainerStats.create({
    attributes: { id: record.id, metadata, labels, annotations },
    ...(usage !== undefined && { ...ofResources(usage), swap: swapOf(usage.resources) }),
    ...(written !== undefined && {
      writableLayer: {
        timestamp: written.at,
        // The kubelet takes a mount point that it does not find for a failure of the whole list.
        ...(mountpoint !== undefined && { fsId: { mountpoint } }),
        usedBytes: { value: written.bytes },
        inodesUsed: { value: written.inodes },
      },
    }),
  });
}

/** The statistics of a pod and its containers. Values that its provider does not know are absent. */
export function toPodSandboxStats(
  { record, usage, containers }: PodFigures,
  mountpoints: ReadonlyMap<string, string>,
): PodSandboxStats {
  const { metadata, labels, annotations } = record.spec;
  const resources = usage?.resources;
  const network = usage?.interfaces && networkOf(usage.interfaces, resources?.timestamp ?? 0n);
  return PodSandboxStats.create({
    attributes: { id: record.id, metadata, labels, annotations },
    linux: {
      ...(resources !== undefined && {
        ...ofResources({ resources, cpuNanosecondsPerSecond: usage?.cpuNanosecondsPerSecond }),
        process: { timestamp: resources.timestamp, ...defined({ processCount: value(resources.processes) }) },
      }),
      ...defined({ network }),
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

function ofResources({ resources: usage, cpuNanosecondsPerSecond }: Sampled<{ resources: ResourceUsage }>): {
  cpu: Partial<CpuUsage>;
  memory: Partial<MemoryUsage>;
  io?: IoUsage;
} {
  const { timestamp } = usage;
  const io = toPsi(usage.ioPressure);
  return {
    cpu: {
      timestamp,
      ...defined({
        usageCoreNanoSeconds: value(usage.cpuNanoseconds),
        usageNanoCores: value(cpuNanosecondsPerSecond),
        psi: toPsi(usage.cpuPressure),
      }),
    },
    memory: {
      timestamp,
      ...defined({
        workingSetBytes: value(usage.memoryWorkingSetBytes),
        availableBytes: value(usage.memoryAvailableBytes),
        usageBytes: value(usage.memoryUsageBytes),
        rssBytes: value(usage.memoryRssBytes),
        pageFaults: value(usage.pageFaults),
        majorPageFaults: value(usage.majorPageFaults),
        psi: toPsi(usage.memoryPressure),
      }),
    },
    ...(io !== undefined && { io: { timestamp, psi: io } }),
  };
}

function swapOf({ timestamp, swapUsageBytes, swapAvailableBytes }: ResourceUsage): Partial<SwapUsage> {
  return {
    timestamp,
    ...defined({ swapUsageBytes: value(swapUsageBytes), swapAvailableBytes: value(swapAvailableBytes) }),
  };
}

/**
 * The default interface is CNI's eth0 where there is one. It is among all of them as well, whatever the CRI says: so do containerd and
 * cAdvisor, and conformance tests of the kubelet's summary need it. Without any interface nothing is said of the network, as the
 * kubelet requires a default one.
 */
function networkOf(interfaces: readonly InterfaceCounters[], timestamp: bigint): NetworkUsage | undefined {
  const standard = interfaces.find(({ name }) => name === 'eth0') ?? interfaces[0];
  if (standard === undefined) return undefined;
  return { timestamp, defaultInterface: toInterface(standard), interfaces: interfaces.map(toInterface) };
}

function toInterface({ name, received, sent }: InterfaceCounters): NetworkInterfaceUsage {
  return {
    name,
    rxBytes: { value: received.bytes },
    rxErrors: { value: received.errors },
    txBytes: { value: sent.bytes },
    txErrors: { value: sent.errors },
  };
}

function toPsi(pressure: Pressure | undefined): PsiStats | undefined {
  if (pressure === undefined) return undefined;
  const [full, some] = [pressure.full, pressure.some].map(({ total, avg10, avg60, avg300 }) => ({
    Total: total,
    Avg10: avg10,
    Avg60: avg60,
    Avg300: avg300,
  }));
  return { Full: full, Some: some };
}

function value(number: bigint | undefined): { value: bigint } | undefined {
  return number === undefined ? undefined : { value: number };
}
