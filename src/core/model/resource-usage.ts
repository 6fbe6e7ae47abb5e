/** Sum in nanoseconds, and percent of the last 10, 60 and 300 seconds, in which tasks waited for a resource. */
export interface PressureFigures {
  total: bigint;
  avg10: number;
  avg60: number;
  avg300: number;
}

/** Pressure on a resource (psi): at least one task waited, or all of them did. */
export interface Pressure {
  some: PressureFigures;
  full: PressureFigures;
}

/** Resource usage of a container or a pod; undefined when unknown. */
export interface ResourceUsage {
  /** Nanoseconds since 1970 at which it was read. */
  timestamp: bigint;
  cpuNanoseconds: bigint | undefined;
  cpuPressure: Pressure | undefined;
  memoryUsageBytes: bigint | undefined;
  memoryWorkingSetBytes: bigint | undefined;
  /** What is left of its memory limit beside the working set; undefined without a limit. */
  memoryAvailableBytes: bigint | undefined;
  memoryRssBytes: bigint | undefined;
  pageFaults: bigint | undefined;
  majorPageFaults: bigint | undefined;
  memoryPressure: Pressure | undefined;
  swapUsageBytes: bigint | undefined;
  /** What is left of its swap limit; undefined without a limit. */
  swapAvailableBytes: bigint | undefined;
  ioPressure: Pressure | undefined;
  /** Processes and their threads. */
  processes: bigint | undefined;
}

/** Counters of a network interface since it was made. */
export interface InterfaceCounters {
  name: string;
  received: TrafficCounters;
  sent: TrafficCounters;
}

export interface TrafficCounters {
  bytes: bigint;
  packets: bigint;
  errors: bigint;
  dropped: bigint;
}

/** What a pod uses as a whole. */
export interface SandboxUsage {
  resources: ResourceUsage | undefined;
  /** Its interfaces but the loopback; undefined for a pod of the node's network, and when they are not known. */
  interfaces: InterfaceCounters[] | undefined;
}
