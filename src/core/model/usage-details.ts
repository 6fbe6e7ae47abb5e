import type { Pressure } from './resource-usage.ts';

/** A limit as the kernel has it. */
export type Bound = bigint | 'unlimited';

/** What a container has read from and written to a block device. */
export interface DeviceUsage {
  /** Path of the device such as `/dev/sda`, or `major:minor` where it has no name. */
  device: string;
  major: string;
  minor: string;
  reads: bigint | undefined;
  writes: bigint | undefined;
  /** Bytes by the kernel's name of the operation: Read, Write, Discard and, on cgroup v1, Sync and Async. */
  bytes: ReadonlyMap<string, bigint>;
}

/** Memory that a container has of one size of huge pages. */
export interface HugepageUsage {
  /** As the kernel writes it: 2MB, 1GB. */
  pageSize: string;
  usage: bigint | undefined;
  peak: bigint | undefined;
}

/** Pages that were not in memory: all of them, and those that were read from a disk. */
export interface PageFaults {
  all: bigint | undefined;
  major: bigint | undefined;
}

/**
 * All that the kernel counts of a container, for its metrics; undefined when unknown. Units are bytes and nanoseconds; a limit that is
 * absent in the kernel is 'unlimited'.
 */
export interface UsageDetails {
  /** Nanoseconds since 1970 at which it was read. */
  timestamp: bigint;
  cpu: {
    total: bigint | undefined;
    user: bigint | undefined;
    system: bigint | undefined;
    /** Periods of its quota: elapsed, and those in which it was held up; the time for which it was. */
    periods: bigint | undefined;
    throttledPeriods: bigint | undefined;
    throttled: bigint | undefined;
  };
  memory: {
    usage: bigint | undefined;
    workingSet: bigint | undefined;
    peak: bigint | undefined;
    rss: bigint | undefined;
    cache: bigint | undefined;
    mappedFile: bigint | undefined;
    kernel: bigint | undefined;
    activeFile: bigint | undefined;
    inactiveFile: bigint | undefined;
    swap: bigint | undefined;
    /** How often its limit was reached. */
    limitHits: bigint | undefined;
    /** Processes that were killed because memory ran out. */
    oomKills: bigint | undefined;
    /** Of its own cgroup, and with those below. */
    ownFaults: PageFaults;
    allFaults: PageFaults;
  };
  pressure: { cpu: Pressure | undefined; memory: Pressure | undefined; io: Pressure | undefined };
  devices: DeviceUsage[];
  hugepages: HugepageUsage[];
  /** Processes and their threads. */
  tasks: { current: bigint | undefined; limit: Bound | undefined };
  limits: {
    /** In the scale of cgroup v1; undefined on v2, whose weight does not tell them. */
    cpuShares: bigint | undefined;
    /** Microseconds. */
    cpuPeriod: bigint | undefined;
    /** Microseconds a period. */
    cpuQuota: Bound | undefined;
    memory: Bound | undefined;
    /** What is not reclaimed (v2), or is reclaimed last (v1). */
    memoryReservation: Bound | undefined;
    /** Memory and swap together. */
    memorySwap: Bound | undefined;
  };
}

/** The processes of a container and what they have open. */
export interface ProcessDetails {
  processes: bigint;
  descriptors: bigint;
  sockets: bigint;
  /** Soft limit of open files of its first process; undefined when it is unlimited. */
  openFilesLimit: bigint | undefined;
}
