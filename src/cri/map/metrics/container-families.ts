import type { ContainerMetricFigures } from '../../../core/lifecycle/pods/pod-metrics.ts';
import type { MetricGroup } from '../../../core/model/metric-groups.ts';
import type { Bound, DeviceUsage } from '../../../core/model/usage-details.ts';
import { counter, counters, gauge, gauges, seconds } from './family.ts';
import type { Family, Sample } from './family.ts';

type Figures = ContainerMetricFigures;
type Families = readonly Family<Figures>[];

/** What the kernel takes for containers without a request. */
const DEFAULT_SHARES = 1024n;

/** The metrics of a container that no configuration leaves out. */
export const ALWAYS: Families = [
  gauge('container_last_seen', 'Time at which the container was last read, in seconds since 1970.', ({ details }) =>
    seconds(details.timestamp),
  ),
];

/** The metrics of a container by group, with the names of cAdvisor; `network` are those of the pod. */
export const CONTAINER_FAMILIES: Readonly<Record<Exclude<MetricGroup, 'network'>, Families>> = {
  cpu: [
    counters('container_cpu_usage_seconds_total', 'Processor time, in seconds.', ['cpu'], ({ details: { cpu } }) => [
      { value: seconds(cpu.total), labels: ['total'] },
    ]),
    counter('container_cpu_user_seconds_total', 'Processor time in user mode, in seconds.', ({ details }) =>
      seconds(details.cpu.user),
    ),
    counter('container_cpu_system_seconds_total', 'Processor time in the kernel, in seconds.', ({ details }) =>
      seconds(details.cpu.system),
    ),
    counter('container_cpu_cfs_periods_total', 'Periods of the CPU quota.', ({ details }) => details.cpu.periods),
    counter(
      'container_cpu_cfs_throttled_periods_total',
      'Periods in which the CPU quota was used up.',
      ({ details }) => details.cpu.throttledPeriods,
    ),
    counter('container_cpu_cfs_throttled_seconds_total', 'Time held up by the CPU quota, in seconds.', ({ details }) =>
      seconds(details.cpu.throttled),
    ),
  ],
  memory: [
    gauge('container_memory_usage_bytes', 'Memory in use, page cache included.', ({ details }) => details.memory.usage),
    gauge(
      'container_memory_working_set_bytes',
      'Memory in use without inactive page cache.',
      ({ details }) => details.memory.workingSet,
    ),
    gauge('container_memory_max_usage_bytes', 'Most memory in use so far.', ({ details }) => details.memory.peak),
    gauge('container_memory_rss', 'Anonymous memory, in bytes.', ({ details }) => details.memory.rss),
    gauge('container_memory_cache', 'Page cache, in bytes.', ({ details }) => details.memory.cache),
    gauge('container_memory_mapped_file', 'Mapped files, in bytes.', ({ details }) => details.memory.mappedFile),
    gauge('container_memory_kernel_usage', 'Memory of the kernel, in bytes.', ({ details }) => details.memory.kernel),
    gauge(
      'container_memory_total_active_file_bytes',
      'Page cache that was used lately.',
      ({ details }) => details.memory.activeFile,
    ),
    gauge(
      'container_memory_total_inactive_file_bytes',
      'Page cache that is reclaimed first.',
      ({ details }) => details.memory.inactiveFile,
    ),
    gauge('container_memory_swap', 'Swap in use, in bytes.', ({ details }) => details.memory.swap),
    counter(
      'container_memory_failcnt',
      'How often the memory limit was reached.',
      ({ details }) => details.memory.limitHits,
    ),
    counters(
      'container_memory_failures_total',
      'Page faults: all (pgfault) and those that read from a disk (pgmajfault), of its own cgroup or with those below.',
      ['failure_type', 'scope'],
      ({ details: { memory } }) => [
        { value: memory.ownFaults.all, labels: ['pgfault', 'container'] },
        { value: memory.allFaults.all, labels: ['pgfault', 'hierarchy'] },
        { value: memory.ownFaults.major, labels: ['pgmajfault', 'container'] },
        { value: memory.allFaults.major, labels: ['pgmajfault', 'hierarchy'] },
      ],
    ),
  ],
  disk: [
    gauges('container_fs_usage_bytes', 'Bytes that the container has written.', [], ({ written }) => [
      { value: written?.bytes, at: written?.at },
    ]),
    ofFilesystem('container_fs_limit_bytes', 'Size of its root filesystem, or its quota.', ({ bytes }) => bytes),
    ofFilesystem('container_fs_inodes_total', 'Inodes of its root filesystem.', ({ inodes }) => inodes),
    ofFilesystem('container_fs_inodes_free', 'Free inodes of its root filesystem.', ({ freeInodes }) => freeInodes),
  ],
  diskIO: [
    ofDevices('container_fs_reads_bytes_total', 'Bytes read.', ({ bytes }) => bytes.get('Read')),
    ofDevices('container_fs_writes_bytes_total', 'Bytes written.', ({ bytes }) => bytes.get('Write')),
    ofDevices('container_fs_reads_total', 'Reads.', ({ reads }) => reads),
    ofDevices('container_fs_writes_total', 'Writes.', ({ writes }) => writes),
    counters(
      'container_blkio_device_usage_total',
      'Bytes by device and operation.',
      ['device', 'major', 'minor', 'operation'],
      ({ details }) =>
        details.devices.flatMap(({ device, major, minor, bytes }) =>
          [...bytes].map(([operation, value]) => ({ value, labels: [device, major, minor, operation] })),
        ),
    ),
  ],
  hugetlb: [
    gauges('container_hugetlb_usage_bytes', 'Huge pages in use.', ['pagesize'], ({ details }) =>
      details.hugepages.map(({ pageSize, usage }) => ({ value: usage, labels: [pageSize] })),
    ),
    gauges('container_hugetlb_max_usage_bytes', 'Most huge pages in use so far.', ['pagesize'], ({ details }) =>
      details.hugepages.map(({ pageSize, peak }) => ({ value: peak, labels: [pageSize] })),
    ),
  ],
  oom: [
    counter(
      'container_oom_events_total',
      'Processes killed because memory ran out.',
      ({ details }) => details.memory.oomKills,
    ),
  ],
  pressure: [
    ...pressureOf('cpu', 'the processor'),
    ...pressureOf('memory', 'memory'),
    ...pressureOf('io', 'input and output'),
  ],
  process: [
    ofProcesses('container_processes', 'Processes.', ({ processes }) => processes),
    ofProcesses('container_file_descriptors', 'Open file descriptors.', ({ descriptors }) => descriptors),
    ofProcesses('container_sockets', 'Open sockets.', ({ sockets }) => sockets),
    gauge('container_threads', 'Threads.', ({ details }) => details.tasks.current),
    gauge('container_threads_max', 'Limit of threads; 0 without one.', ({ details }) => numeric(details.tasks.limit)),
    {
      ...ofProcesses(
        'container_ulimits_soft',
        'Soft ulimits of the first process.',
        ({ openFilesLimit }) => openFilesLimit,
        ['max_open_files'],
      ),
      labels: ['ulimit'],
    },
  ],
  spec: [
    gauge('container_start_time_seconds', 'Start of the container, in seconds since 1970.', ({ record }) =>
      seconds(record.startedAt),
    ),
    gauge(
      'container_spec_cpu_period',
      'Period of the CPU quota, in microseconds.',
      ({ details }) => details.limits.cpuPeriod,
    ),
    gauge('container_spec_cpu_quota', 'CPU quota, in microseconds a period.', ({ details: { limits } }) =>
      limits.cpuQuota === 'unlimited' ? undefined : limits.cpuQuota,
    ),
    gauge('container_spec_cpu_shares', 'CPU shares.', ({ details, record }) => {
      const { cpuShares } = record.spec.resources;
      return details.limits.cpuShares ?? (cpuShares === undefined ? DEFAULT_SHARES : BigInt(cpuShares));
    }),
    gauge('container_spec_memory_limit_bytes', 'Memory limit; 0 without one.', ({ details }) =>
      numeric(details.limits.memory),
    ),
    gauge('container_spec_memory_reservation_limit_bytes', 'Memory reservation; 0 without one.', ({ details }) =>
      numeric(details.limits.memoryReservation),
    ),
    gauge(
      'container_spec_memory_swap_limit_bytes',
      'Limit of memory and swap together; 0 without one.',
      ({ details }) => numeric(details.limits.memorySwap),
    ),
  ],
};

/** As in cAdvisor. */
function numeric(limit: Bound | undefined): bigint | undefined {
  return limit === 'unlimited' ? 0n : limit;
}

type Survey = NonNullable<Figures['survey']>;

/** A figure of the survey, with the time of that. */
function surveyed(survey: Figures['survey'], value: (survey: Survey) => bigint | undefined, labels: string[] = []) {
  return survey === undefined ? [] : [{ value: value(survey), at: survey.at, labels }];
}

function ofFilesystem(
  name: string,
  help: string,
  value: (capacity: NonNullable<Survey['capacity']>) => bigint,
): Family<Figures> {
  return gauges(name, help, [], ({ survey }) => surveyed(survey, ({ capacity }) => capacity && value(capacity)));
}

function ofProcesses(
  name: string,
  help: string,
  value: (processes: NonNullable<Survey['processes']>) => bigint | undefined,
  labels: string[] = [],
): Family<Figures> {
  return gauges(name, help, [], ({ survey }) =>
    surveyed(survey, ({ processes }) => processes && value(processes), labels),
  );
}

function ofDevices(name: string, help: string, value: (device: DeviceUsage) => bigint | undefined): Family<Figures> {
  return counters(name, help, ['device'], ({ details }) =>
    details.devices.map((device): Sample => ({ value: value(device), labels: [device.device] })),
  );
}

function pressureOf(resource: 'cpu' | 'memory' | 'io', words: string): Families {
  const name = `container_pressure_${resource}`;
  return [
    counter(`${name}_waiting_seconds_total`, `Time in which a task waited for ${words}, in seconds.`, ({ details }) =>
      seconds(details.pressure[resource]?.some.total),
    ),
    counter(
      `${name}_stalled_seconds_total`,
      `Time in which all tasks waited for ${words}, in seconds.`,
      ({ details }) => seconds(details.pressure[resource]?.full.total),
    ),
  ];
}
