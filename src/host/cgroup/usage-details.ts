import { readdirSync } from 'node:fs';
import type { Bound, DeviceUsage, HugepageUsage, UsageDetails } from '../../core/model/usage-details.ts';
import { isErrno } from '../../utils/errors.ts';
import { FigureReader, parseCount, parseLimit } from './figures.ts';
import type { CgroupHierarchy } from './hierarchies.ts';
import { readBlkio, readIoStat } from './io.ts';
import { inNanoseconds, readCpuTime, readMemory, readOomKills } from './usage.ts';

/** All figures of `cgroup`, or undefined when it is not there. `timestamp` is passed through. */
export function readUsageDetails(
  hierarchies: readonly CgroupHierarchy[],
  cgroup: string,
  timestamp: bigint,
): UsageDetails | undefined {
  const files = new FigureReader(hierarchies, cgroup);
  const cpu = readCpu(files);
  const { limit, ...memory } = readMemoryDetails(files);
  if (cpu.total === undefined && memory.usage === undefined) return undefined;
  return {
    timestamp,
    cpu,
    memory,
    pressure: {
      cpu: files.pressure('cpu', 'cpu.pressure'),
      memory: files.pressure('memory', 'memory.pressure'),
      io: files.pressure('blkio', 'io.pressure'),
    },
    devices: readDevices(files),
    hugepages: pageSizes().map((size) => readHugepages(files, size)),
    tasks: {
      current: files.count({ controller: 'pids', v1: 'pids.current', v2: 'pids.current' }),
      limit: files.limit({ controller: 'pids', v1: 'pids.max', v2: 'pids.max' }),
    },
    limits: { ...readCpuLimits(files), ...readMemoryLimits(files, limit) },
  };
}

function readCpu(files: FigureReader): UsageDetails['cpu'] {
  const stat = files.flat({ controller: 'cpu', v1: 'cpu.stat', v2: 'cpu.stat' });
  const account = (v1: string, key: string) =>
    files.isV1('cpuacct') ? files.count({ controller: 'cpuacct', v1 }) : inNanoseconds(stat.get(key));
  return {
    total: readCpuTime(files),
    user: account('cpuacct.usage_user', 'user_usec'),
    system: account('cpuacct.usage_sys', 'system_usec'),
    periods: stat.get('nr_periods'),
    throttledPeriods: stat.get('nr_throttled'),
    throttled: stat.get('throttled_time') ?? inNanoseconds(stat.get('throttled_usec')),
  };
}

function readMemoryDetails(files: FigureReader) {
  const { stat, usage, workingSet, rss, swap, limit, faults } = readMemory(files);
  const events = files.flat({ controller: 'memory', v2: 'memory.events' });
  const kernel = stat.get('kernel') ?? sum(stat.get('kernel_stack'), stat.get('slab'));
  return {
    usage,
    workingSet,
    rss,
    swap,
    limit,
    peak: files.count({ controller: 'memory', v1: 'memory.max_usage_in_bytes', v2: 'memory.peak' }),
    cache: stat.get('total_cache') ?? stat.get('file'),
    mappedFile: stat.get('total_mapped_file') ?? stat.get('file_mapped'),
    kernel: files.count({ controller: 'memory', v1: 'memory.kmem.usage_in_bytes' }) ?? kernel,
    activeFile: stat.get('total_active_file') ?? stat.get('active_file'),
    inactiveFile: stat.get('total_inactive_file') ?? stat.get('inactive_file'),
    limitHits: events.get('max') ?? files.count({ controller: 'memory', v1: 'memory.failcnt' }),
    oomKills: events.get('oom_kill') ?? readOomKills(files),
    // v2 has only those of the tree; a container without cgroups of its own has no others.
    ownFaults: { all: stat.get('pgfault'), major: stat.get('pgmajfault') },
    allFaults: faults,
  };
}

function sum(first: bigint | undefined, second: bigint | undefined): bigint | undefined {
  return first === undefined || second === undefined ? undefined : first + second;
}

function readDevices(files: FigureReader): DeviceUsage[] {
  if (!files.isV1('blkio')) return readIoStat(files.text({ controller: 'blkio', v2: 'io.stat' }) ?? '');
  // A device is counted where its scheduler does so, and by the limits of rates else.
  const read = (figure: string) =>
    ['throttle', 'bfq'].map((by) => files.text({ controller: 'blkio', v1: `blkio.${by}.${figure}` }) ?? '').join('\n');
  return readBlkio(read('io_service_bytes_recursive'), read('io_serviced_recursive'));
}

function readHugepages(files: FigureReader, pageSize: string): HugepageUsage {
  const file = (v1: string, v2?: string) => ({
    controller: 'hugetlb',
    v1: `hugetlb.${pageSize}.${v1}`,
    ...(v2 !== undefined && { v2: `hugetlb.${pageSize}.${v2}` }),
  });
  return {
    pageSize,
    usage: files.count(file('usage_in_bytes', 'current')),
    peak: files.count(file('max_usage_in_bytes')),
  };
}

function readCpuLimits(files: FigureReader): Pick<UsageDetails['limits'], 'cpuShares' | 'cpuPeriod' | 'cpuQuota'> {
  if (files.isV1('cpu')) {
    return {
      cpuShares: files.count({ controller: 'cpu', v1: 'cpu.shares' }),
      cpuPeriod: files.count({ controller: 'cpu', v1: 'cpu.cfs_period_us' }),
      cpuQuota: files.limit({ controller: 'cpu', v1: 'cpu.cfs_quota_us' }),
    };
  }
  const [quota, period] = files.text({ controller: 'cpu', v2: 'cpu.max' })?.trim().split(' ') ?? [];
  return { cpuShares: undefined, cpuPeriod: parseCount(period), cpuQuota: parseLimit(quota) };
}

function readMemoryLimits(files: FigureReader, memory: Bound | undefined) {
  const memoryReservation = files.limit({
    controller: 'memory',
    v1: 'memory.soft_limit_in_bytes',
    v2: 'memory.min',
  });
  const both = files.limit({ controller: 'memory', v1: 'memory.memsw.limit_in_bytes' });
  const swap = files.limit({ controller: 'memory', v2: 'memory.swap.max' });
  return { memory, memoryReservation, memorySwap: both ?? plus(memory, swap) };
}

function plus(memory: Bound | undefined, swap: Bound | undefined): Bound | undefined {
  if (memory === undefined) return undefined;
  // A kernel that does not count swap does not limit it.
  return typeof memory === 'bigint' && typeof swap === 'bigint' ? memory + swap : 'unlimited';
}

let sizes: string[] | undefined;

/** The sizes of huge pages that this kernel has, which do not change. */
function pageSizes(): string[] {
  sizes ??= pageSizesOf(namesIn('/sys/kernel/mm/hugepages'));
  return sizes;
}

/** Directories `hugepages-2048kB` as the files of cgroups have their sizes: 2MB. Other names are skipped. */
export function pageSizesOf(names: readonly string[]): string[] {
  return names.flatMap((name) => {
    const kibibytes = Number(/^hugepages-(\d{1,12})kB$/.exec(name)?.[1] ?? 0);
    if (kibibytes === 0) return [];
    if (kibibytes >= 2 ** 20) return [`${String(kibibytes / 2 ** 20)}GB`];
    return [kibibytes >= 1024 ? `${String(kibibytes / 1024)}MB` : `${String(kibibytes)}KB`];
  });
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}
