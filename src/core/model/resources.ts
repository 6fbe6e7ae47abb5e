/** A limit, or "unlimited", which removes an existing one. Units are those of the field. */
export type Limit = number | 'unlimited';

/** Limits of a container or a pod. An update keeps the values of absent fields. */
export interface ResourceLimits {
  /** Relative weight in the scale of cgroup v1, at least 2. */
  cpuShares?: number;
  /** Microseconds of CPU time a period. */
  cpuQuota?: Limit;
  /** Microseconds, 1000 to 1000000. */
  cpuPeriod?: number;
  /** A list such as `0-3,6`. */
  cpusetCpus?: string;
  cpusetMems?: string;
  /** Bytes. */
  memory?: Limit;
  /** Memory and swap together, bytes. */
  memorySwap?: Limit;
  /** Bytes that the kernel takes from the container last (cgroup v2), or first gives back (v1). */
  memoryReservation?: Limit;
  /** 0 to 100; cgroup v1. */
  memorySwappiness?: number;
  /** Whether processes wait for memory instead of being killed; cgroup v1. */
  disableOomKiller?: boolean;
  /** Microseconds of realtime scheduling in each period of so many; cgroup v1. */
  cpuRealtimeRuntime?: number;
  cpuRealtimePeriod?: number;
  /** Number of processes; absent: as configured. */
  pids?: Limit;
  /** Bytes for each size of huge pages, which is written `2MB`. */
  hugepages?: { pageSize: string; limit: Limit }[];
  /** cgroup v2 files and their values. */
  unified?: Record<string, string>;
  /** -1000 to 1000; of the processes, not of the cgroup. */
  oomScoreAdj?: number;
}

/** The limits after an update of some of them. */
export function mergeLimits(before: ResourceLimits | undefined, update: ResourceLimits): ResourceLimits {
  const sizes = new Set(update.hugepages?.map(({ pageSize }) => pageSize));
  const kept = (before?.hugepages ?? []).filter(({ pageSize }) => !sizes.has(pageSize));
  const hugepages = [...kept, ...(update.hugepages ?? [])];
  const unified = { ...before?.unified, ...update.unified };
  return {
    ...before,
    ...update,
    ...(hugepages.length > 0 && { hugepages }),
    ...(Object.keys(unified).length > 0 && { unified }),
  };
}
