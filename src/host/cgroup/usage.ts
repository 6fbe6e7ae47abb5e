import type { ResourceUsage } from '../../core/model/resource-usage.ts';
import type { Bound } from '../../core/model/usage-details.ts';
import { FigureReader } from './figures.ts';
import type { CgroupHierarchy } from './hierarchies.ts';

/** Usage of `cgroup` and everything below it, or undefined when it is not there. `timestamp` is passed through. */
export function readUsage(
  hierarchies: readonly CgroupHierarchy[],
  cgroup: string,
  timestamp: bigint,
): ResourceUsage | undefined {
  const files = new FigureReader(hierarchies, cgroup);
  const cpuNanoseconds = readCpuTime(files);
  const memory = readMemory(files);
  const processes = files.count({ controller: 'pids', v1: 'pids.current', v2: 'pids.current' });
  if (cpuNanoseconds === undefined && memory.stat.size === 0 && processes === undefined) return undefined;
  const { usage, workingSet, limit, swap } = memory;
  const swapLimit = readSwapLimit(files, limit);
  return {
    timestamp,
    cpuNanoseconds,
    cpuPressure: files.pressure('cpu', 'cpu.pressure'),
    memoryUsageBytes: usage,
    memoryWorkingSetBytes: workingSet,
    memoryAvailableBytes: leftOf(limit, workingSet),
    memoryRssBytes: memory.rss,
    pageFaults: memory.faults.all,
    majorPageFaults: memory.faults.major,
    memoryPressure: files.pressure('memory', 'memory.pressure'),
    swapUsageBytes: swap,
    swapAvailableBytes: leftOf(swapLimit, swap),
    ioPressure: files.pressure('blkio', 'io.pressure'),
    processes,
  };
}

/** What is left of the memory limit of `cgroup` beside its working set, in bytes; undefined without a limit. */
export function readAvailableMemory(hierarchies: readonly CgroupHierarchy[], cgroup: string): bigint | undefined {
  const { limit, workingSet } = readMemory(new FigureReader(hierarchies, cgroup));
  return leftOf(limit, workingSet);
}

/** True when a process of `cgroup` was killed because memory ran out; false also when the cgroup is gone. */
export function wasOomKilled(hierarchies: readonly CgroupHierarchy[], cgroup: string): boolean {
  return (readOomKills(new FigureReader(hierarchies, cgroup)) ?? 0n) > 0n;
}

/** Processes of a cgroup that were killed because memory ran out. */
export function readOomKills(files: FigureReader): bigint | undefined {
  return files.flat({ controller: 'memory', v1: 'memory.oom_control', v2: 'memory.events' }).get('oom_kill');
}

/** Nanoseconds of processor time. */
export function readCpuTime(files: FigureReader): bigint | undefined {
  if (files.isV1('cpuacct')) return files.count({ controller: 'cpuacct', v1: 'cpuacct.usage' });
  return inNanoseconds(files.flat({ controller: 'cpuacct', v2: 'cpu.stat' }).get('usage_usec'));
}

export function inNanoseconds(microseconds: bigint | undefined): bigint | undefined {
  return microseconds === undefined ? undefined : microseconds * 1000n;
}

/** Memory of a cgroup, in bytes. */
export function readMemory(files: FigureReader) {
  const stat = files.flat({ controller: 'memory', v1: 'memory.stat', v2: 'memory.stat' });
  const usage = files.count({ controller: 'memory', v1: 'memory.usage_in_bytes', v2: 'memory.current' });
  const limit = files.limit({ controller: 'memory', v1: 'memory.limit_in_bytes', v2: 'memory.max' });
  // v1 counts a cgroup's own pages under the plain names and those of its whole tree under total_.
  const inactive = stat.get('total_inactive_file') ?? stat.get('inactive_file');
  return {
    stat,
    usage,
    limit,
    workingSet: workingSetOf(usage, inactive),
    rss: stat.get('total_rss') ?? stat.get('anon'),
    swap: stat.get('total_swap') ?? files.count({ controller: 'memory', v2: 'memory.swap.current' }),
    faults: {
      all: stat.get('total_pgfault') ?? stat.get('pgfault'),
      major: stat.get('total_pgmajfault') ?? stat.get('pgmajfault'),
    },
  };
}

/** The limit of swap alone; undefined when swap is not counted. v1 has one of memory and swap together. */
function readSwapLimit(files: FigureReader, memory: Bound | undefined): Bound | undefined {
  if (!files.isV1('memory')) return files.limit({ controller: 'memory', v2: 'memory.swap.max' });
  const both = files.limit({ controller: 'memory', v1: 'memory.memsw.limit_in_bytes' });
  if (both === undefined || both === 'unlimited') return both;
  return typeof memory === 'bigint' && memory < both ? both - memory : 0n;
}

/** What the kernel cannot reclaim easily: the kubelet evicts by it. */
function workingSetOf(used: bigint | undefined, inactive: bigint | undefined): bigint | undefined {
  if (used === undefined || inactive === undefined) return used;
  return used > inactive ? used - inactive : 0n;
}

function leftOf(limit: Bound | undefined, used: bigint | undefined): bigint | undefined {
  if (limit === undefined || limit === 'unlimited' || used === undefined) return undefined;
  return limit > used ? limit - used : 0n;
}
