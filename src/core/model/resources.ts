/** A limit, or that there is none: it lifts one that is there. Units are those of the field. */
export type Limit = number | 'unlimited';

/** Limits of a container or a pod. A field that is absent says nothing: on an update it leaves what is there. */
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
  /** Bytes for each size of huge pages, which is written `2MB`. */
  hugepages?: { pageSize: string; limit: Limit }[];
  /** Files of cgroup v2 and what to write to them. */
  unified?: Record<string, string>;
  /** -1000 to 1000; of the processes, not of the cgroup. */
  oomScoreAdj?: number;
}

/** The limits that hold after an update that says something of some of them only. */
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
