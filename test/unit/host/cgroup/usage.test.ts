import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import fc from 'fast-check';
import { parseCount, parseFlatKeyed, parseLimit, parsePressure } from '../../../../src/host/cgroup/figures.ts';
import type { CgroupHierarchy } from '../../../../src/host/cgroup/hierarchies.ts';
import { readBlkio, readIoStat } from '../../../../src/host/cgroup/io.ts';
import { pageSizesOf, readUsageDetails } from '../../../../src/host/cgroup/usage-details.ts';
import { readUsage } from '../../../../src/host/cgroup/usage.ts';
import { parseInterfaces } from '../../../../src/host/network/interfaces.ts';
import { parseOpenFilesLimit } from '../../../../src/host/processes/open-files.ts';

const NO_LIMIT = '9223372036854771712\n';

const V1 = {
  'cpuacct/cpuacct.usage': '5000\n',
  'cpuacct/cpuacct.usage_user': '3000\n',
  'cpuacct/cpuacct.usage_sys': '2000\n',
  'cpu/cpu.stat': 'nr_periods 4\nnr_throttled 2\nthrottled_time 7000\n',
  'cpu/cpu.shares': '512\n',
  'cpu/cpu.cfs_period_us': '100000\n',
  'cpu/cpu.cfs_quota_us': '-1\n',
  'memory/memory.usage_in_bytes': '1000\n',
  'memory/memory.max_usage_in_bytes': '1500\n',
  'memory/memory.limit_in_bytes': '2000\n',
  'memory/memory.soft_limit_in_bytes': NO_LIMIT,
  'memory/memory.memsw.limit_in_bytes': '2500\n',
  'memory/memory.kmem.usage_in_bytes': '40\n',
  'memory/memory.failcnt': '6\n',
  'memory/memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\noom_kill 1\n',
  'memory/memory.stat':
    'rss 1\npgfault 5\npgmajfault 0\ntotal_cache 450\ntotal_rss 300\ntotal_mapped_file 20\ntotal_swap 100\n' +
    'inactive_file 2\ntotal_inactive_file 400\ntotal_active_file 50\ntotal_pgfault 7\ntotal_pgmajfault 1\n',
  'pids/pids.current': '3\n',
  'pids/pids.max': '64\n',
  'blkio/blkio.bfq.io_service_bytes_recursive': '8:16 Read 7\nTotal 7\n',
  'blkio/blkio.bfq.io_serviced_recursive': '8:16 Read 5\nTotal 5\n',
  'blkio/blkio.throttle.io_service_bytes_recursive': '8:0 Read 10\n8:0 Write 20\n8:0 Sync 30\n8:0 Total 30\nTotal 30\n',
  'blkio/blkio.throttle.io_serviced_recursive': '8:0 Read 1\n8:0 Write 2\n8:0 Total 3\nTotal 3\n',
};

const PRESSURE = 'some avg10=1.25 avg60=0.50 avg300=0.00 total=12\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=3\n';

const V2 = {
  'unified/cpu.stat': 'usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_periods 4\nnr_throttled 2\nthrottled_usec 7\n',
  'unified/cpu.max': 'max 100000\n',
  'unified/cpu.weight': '20\n',
  'unified/cpu.pressure': PRESSURE,
  'unified/memory.current': '1000\n',
  'unified/memory.peak': '1500\n',
  'unified/memory.max': '2000\n',
  'unified/memory.min': '0\n',
  'unified/memory.swap.current': '100\n',
  'unified/memory.swap.max': '500\n',
  'unified/memory.events': 'low 0\nhigh 0\nmax 6\noom 1\noom_kill 1\n',
  'unified/memory.pressure': PRESSURE,
  'unified/memory.stat':
    'anon 300\nfile 450\nkernel 40\nfile_mapped 20\ninactive_file 400\nactive_file 50\npgfault 7\npgmajfault 1\n',
  'unified/pids.current': '3\n',
  'unified/pids.max': 'max\n',
  'unified/io.stat': '8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n',
  'unified/io.pressure': 'some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n',
};

// Plain directories with the files that the kernel would show: both versions can be tested on any machine.
async function trees(t: ExecutionContext): Promise<{ v1: CgroupHierarchy[]; v2: CgroupHierarchy[]; root: string }> {
  const root = await mkdtemp(join(tmpdir(), 'usage-'));
  t.teardown(() => rm(root, { recursive: true, force: true }));
  for (const [name, text] of Object.entries({ ...V1, ...V2 })) {
    const file = join(root, name).replace(/([^/]+)$/, 'pod/$1');
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
  }
  const v1 = ['cpuacct', 'cpu', 'memory', 'pids', 'blkio'].map((name) => ({
    version: 1 as const,
    mountPoint: join(root, name),
    controllers: [name],
    initPath: '',
  }));
  const v2 = [{ version: 2 as const, mountPoint: join(root, 'unified'), controllers: [], initPath: '' }];
  return { v1, v2, root };
}

test('usage is read from v1 and v2 files', async (t) => {
  const { v1, v2, root } = await trees(t);
  t.is(readUsage(v1, '/none', 1n), undefined);
  const expected = {
    timestamp: 9n,
    cpuNanoseconds: 5000n,
    memoryUsageBytes: 1000n,
    memoryWorkingSetBytes: 600n,
    memoryAvailableBytes: 1400n,
    memoryRssBytes: 300n,
    pageFaults: 7n,
    majorPageFaults: 1n,
    swapUsageBytes: 100n,
    swapAvailableBytes: 400n,
    processes: 3n,
  };
  const none = { cpuPressure: undefined, memoryPressure: undefined, ioPressure: undefined };
  t.deepEqual(readUsage(v1, '/pod', 9n), { ...expected, ...none });
  // On a hybrid host the controllers of v1 are those that count.
  t.deepEqual(readUsage([...v1, ...v2], '/pod', 9n), { ...expected, ...none });
  const zero = { total: 0n, avg10: 0, avg60: 0, avg300: 0 };
  const some = { total: 12_000n, avg10: 1.25, avg60: 0.5, avg300: 0 };
  const pressure = { some, full: { ...zero, total: 3000n } };
  const all = { cpuPressure: pressure, memoryPressure: pressure, ioPressure: { some: zero, full: zero } };
  t.deepEqual(readUsage(v2, '/pod', 9n), { ...expected, ...all });

  await writeFile(join(root, 'unified/pod/memory.stat'), 'inactive_file 4000\n');
  await writeFile(join(root, 'unified/pod/memory.max'), 'max\n');
  await writeFile(join(root, 'unified/pod/memory.swap.max'), '0\n');
  t.like(readUsage(v2, '/pod', 9n), {
    memoryWorkingSetBytes: 0n,
    memoryAvailableBytes: undefined,
    memoryRssBytes: undefined,
    swapAvailableBytes: 0n,
  });
  // Memory and swap of the same limit: there is no swap; without a limit nothing is said of what is left.
  await writeFile(join(root, 'memory/pod/memory.memsw.limit_in_bytes'), '2000\n');
  t.is(readUsage(v1, '/pod', 9n)?.swapAvailableBytes, 0n);
  await writeFile(join(root, 'memory/pod/memory.memsw.limit_in_bytes'), NO_LIMIT);
  await writeFile(join(root, 'memory/pod/memory.limit_in_bytes'), NO_LIMIT);
  t.like(readUsage(v1, '/pod', 9n), { memoryAvailableBytes: undefined, swapAvailableBytes: undefined });
});

test('all figures are read from v1 and v2 files', async (t) => {
  const { v1, v2, root } = await trees(t);
  t.is(readUsageDetails(v1, '/none', 1n), undefined);
  const memory = {
    usage: 1000n,
    workingSet: 600n,
    peak: 1500n,
    rss: 300n,
    cache: 450n,
    mappedFile: 20n,
    kernel: 40n,
    activeFile: 50n,
    inactiveFile: 400n,
    swap: 100n,
    limitHits: 6n,
    oomKills: 1n,
    allFaults: { all: 7n, major: 1n },
  };
  const cpu = { total: 5000n, user: 3000n, system: 2000n, periods: 4n, throttledPeriods: 2n, throttled: 7000n };
  const limits = { cpuPeriod: 100_000n, cpuQuota: 'unlimited', memory: 2000n, memorySwap: 2500n } as const;
  const device = { major: '8', minor: '0', reads: 1n, writes: 2n };
  const [first, second] = [v1, v2].map((hierarchies) => readUsageDetails(hierarchies, '/pod', 9n));
  t.like(first, {
    cpu,
    limits: { ...limits, cpuShares: 512n, memoryReservation: 'unlimited' },
    memory: { ...memory, ownFaults: { all: 5n, major: 0n } },
    tasks: { current: 3n, limit: 64n },
    pressure: { cpu: undefined },
  });
  t.like(second, {
    cpu,
    limits: { ...limits, cpuShares: undefined, memoryReservation: 0n },
    memory: { ...memory, ownFaults: { all: 7n, major: 1n } },
    tasks: { current: 3n, limit: 'unlimited' },
    pressure: { cpu: { some: { total: 12_000n } } },
  });
  t.like(first?.devices[0], device);
  t.like(first?.devices[1], { major: '8', minor: '16', reads: 5n, writes: undefined });
  t.like(second?.devices[0], device);
  t.deepEqual([...(first?.devices[0]?.bytes ?? [])], [...Object.entries({ Read: 10n, Write: 20n, Sync: 30n })]);
  t.deepEqual([...(second?.devices[0]?.bytes ?? [])], [...Object.entries({ Read: 10n, Write: 20n, Discard: 0n })]);
  // A kernel that does not count swap does not limit it.
  await rm(join(root, 'unified/pod/memory.swap.max'));
  t.is(readUsageDetails(v2, '/pod', 9n)?.limits.memorySwap, 'unlimited');
});

test('numbers that no counter can hold are not told', (t) => {
  t.is(parseCount('18446744073709551615\n'), 2n ** 64n - 1n);
  for (const text of [undefined, '', '18446744073709551616', '-1', '1e3', '0x1', '1 2', '9'.repeat(10_000)]) {
    t.is(parseCount(text), undefined, text);
  }
  t.is(parseLimit('max\n'), 'unlimited');
  t.is(parseLimit('0\n'), 0n);
  t.is(parseLimit(NO_LIMIT), 'unlimited');
  t.is(parseLimit('many'), undefined);
  t.deepEqual([...parseFlatKeyed('a 1\nb\nc x\n d 4\ne 5 6\n')], [['a', 1n]]);
  t.is(parsePressure('full avg10=0.00 avg60=0.00 avg300=0.00 total=1\n'), undefined);
  t.is(parsePressure('some avg10=0.00 avg60=0.00 avg300=0.00 total=18446744073709551615\n'), undefined);
  t.like(parsePressure('some avg10=NaN avg60=Infinity avg300=1000000 total=1\n')?.some, {
    avg10: 0,
    avg60: 0,
    avg300: 0,
  });
  t.deepEqual(
    readIoStat('8:0 rbytes=x rios=\nvirtual rbytes=1\n8:0:1 rbytes=1\n', (number) => number)[0]?.bytes.size,
    0,
  );
  t.deepEqual(
    readBlkio('8:0 Rread 1\nTotal 3\n../.. Read 5\n', '', (number) => number),
    [],
  );
  t.deepEqual(pageSizesOf(['hugepages-2048kB', 'hugepages-1048576kB', 'hugepages-64kB', 'other', 'hugepages-0kB']), [
    '2MB',
    '1GB',
    '64KB',
  ]);
  t.is(parseOpenFilesLimit('Max open files            1024                 524288               files     \n'), 1024n);
  t.is(
    parseOpenFilesLimit('Max open files            unlimited            unlimited            files     \n'),
    undefined,
  );
  for (const read of [parseFlatKeyed, parsePressure, readIoStat, parseInterfaces, parseOpenFilesLimit]) {
    fc.assert(
      fc.property(fc.string({ maxLength: 200 }), (text) => {
        t.notThrows(() => read(text));
      }),
    );
  }
});

test('interfaces are counted without the loopback, whatever their names', (t) => {
  const head =
    'Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop\n';
  const line = (name: string, first = 1) =>
    `${name.padStart(6)}: ${Array.from({ length: 16 }, (_, i) => i + first).join(' ')}\n`;
  const eth0 = {
    name: 'eth0',
    received: { bytes: 1n, packets: 2n, errors: 3n, dropped: 4n },
    sent: { bytes: 9n, packets: 10n, errors: 11n, dropped: 12n },
  };
  t.deepEqual(parseInterfaces(`${head}${line('lo')}${line('eth0')}`), [eth0]);
  t.deepEqual(parseInterfaces(''), []);
  // Bytes that are no text become the same text: two samples of one name would make all metrics of the node unreadable.
  const names = parseInterfaces(`${line('a\ufffd', 1)}${line('a\ufffd', 2)}${line('net1')}`).map(({ name }) => name);
  t.deepEqual(names, ['a\ufffd', 'net1']);
  t.deepEqual(parseInterfaces('eth0: 1 2 3\neth1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 -16\n'), []);
  const many = Array.from({ length: 1000 }, (_, index) => line(`d${String(index)}`)).join('');
  t.is(parseInterfaces(`${line('eth0')}${many}`).length, 32);
});
