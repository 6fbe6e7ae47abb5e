/** Resource usage of a container or a pod; undefined when unknown. */
export interface ResourceUsage {
  /** Nanoseconds since 1970 at which it was read. */
  timestamp: bigint;
  cpuNanoseconds: bigint | undefined;
  memoryUsageBytes: bigint | undefined;
  memoryWorkingSetBytes: bigint | undefined;
  memoryRssBytes: bigint | undefined;
  pageFaults: bigint | undefined;
  majorPageFaults: bigint | undefined;
  processes: bigint | undefined;
}
