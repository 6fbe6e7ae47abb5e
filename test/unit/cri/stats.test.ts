import { readFile } from 'node:fs/promises';
import test from 'ava';
import { ListContainerStatsRequest, ListPodSandboxMetricsResponse } from '../../../api/gen/cri.ts';
import { ContainerStatsService } from '../../../src/core/lifecycle/containers/container-stats.ts';
import { PodMetricsService } from '../../../src/core/lifecycle/pods/pod-metrics.ts';
import { unavailable } from '../../../src/core/model/errors.ts';
import { METRIC_GROUPS, type MetricGroup, selectedGroups } from '../../../src/core/model/metric-groups.ts';
import { metricsCalls } from '../../../src/cri/rpc/metrics.ts';
import { statsCalls } from '../../../src/cri/rpc/stats.ts';
import type { Services } from '../../../src/cri/rpc/services.ts';

const silent = { debug() {}, info() {}, warn() {}, error() {}, with: () => silent };
const spec = {
  metadata: { name: 'c', attempt: 0 },
  image: { name: 'i', asked: 'i' },
  labels: {},
  annotations: {},
  resources: {},
};
const record = {
  id: 'c1',
  sandboxId: 'p1',
  phase: 'running',
  rootfsStore: 'zfs:tank/a',
  spec,
  startedAt: 5_000_000_000n,
};
const suspended = () => Promise.reject(unavailable('pool tank is suspended'));

function setUp(usage: () => Promise<unknown>) {
  const clock = { at: 0n, monotonic: () => clock.at };
  const containers = { get: () => record, list: () => [record], usage: suspended };
  const pods = { backendOf: () => ({ runner: { usage } }) };
  const stats = new ContainerStatsService({ pods, containers, clock, logger: silent } as never);
  const calls = statsCalls({ stats, images: { fsInfo: suspended } } as unknown as Services);
  const list = async () => {
    const { stats: all } = await calls.listContainerStats!(ListContainerStatsRequest.create(), {} as never);
    return all[0];
  };
  return { clock, list };
}

test('a store that cannot be asked costs no other statistics', async (t) => {
  const { list } = setUp(() => Promise.resolve({ timestamp: 1n, cpuNanoseconds: 5n }));
  const first = await list();
  t.is(first?.attributes?.id, 'c1');
  t.truthy(first?.cpu);
  t.is(first?.writableLayer, undefined);
});

test('requests at one time share a sample; a rate is of at least a second', async (t) => {
  let [reads, cpu, fails] = [0, 0n, false];
  const { clock, list } = setUp(() => {
    reads += 1;
    return fails ? suspended() : Promise.resolve({ timestamp: BigInt(reads), cpuNanoseconds: cpu });
  });
  const rateAt = async (milliseconds: bigint, used: bigint) => {
    [clock.at, cpu] = [milliseconds * 1_000_000n, used * 1_000_000n];
    return (await list())?.cpu?.usageNanoCores?.value;
  };
  t.is(await rateAt(0n, 1000n), undefined);
  await Promise.all([list(), list(), rateAt(400n, 1300n)]);
  t.is(reads, 1);
  t.is(await rateAt(600n, 1500n), undefined, 'over less than a second');
  t.is(await rateAt(2000n, 2000n), 500_000_000n, 'of the first sample');
  t.is(await rateAt(2600n, 2600n), 615_384_615n, 'still of the first one');
  t.is(await rateAt(4000n, 6000n), 2_000_000_000n);
  t.is(await rateAt(6000n, 100n), undefined, 'a counter that went back');
  t.is(await rateAt(8000n, 1100n), 500_000_000n);
  fails = true;
  t.is(await rateAt(9000n, 0n), undefined);
  fails = false;
  t.is(await rateAt(9001n, 1100n), 0n, 'a failure is no sample');
});

/** What a kernel without pressure, swap and devices tells. */
const details = {
  timestamp: 7_000_000_000n,
  cpu: { total: 2_500_000_000n },
  memory: { usage: 5n, ownFaults: {}, allFaults: { all: 3n } },
  pressure: {},
  devices: [{ device: '/dev/sda', major: '8', minor: '0', reads: 4n, bytes: new Map([['Read', 6n]]) }],
  hugepages: [{ pageSize: '2MB', usage: 0n }],
  tasks: { current: 2n, limit: 'unlimited' },
  limits: { cpuQuota: 'unlimited', memory: 'unlimited' },
};

function metricsOf(list: readonly (MetricGroup | 'all')[], runner: object) {
  const metadata = { name: 'web', namespace: 'shop', uid: 'u', attempt: 0 };
  const pod = { id: 'p1', phase: 'ready', spec: { metadata, labels: {} } };
  const counters = { bytes: 1n, packets: 2n, errors: 3n, dropped: 4n };
  const usage = { resources: { timestamp: 8n }, interfaces: [{ name: 'eth0', received: counters, sent: counters }] };
  const asked = new Set<string>();
  const ask = (what: string, answer: unknown) => () => {
    asked.add(what);
    return Promise.resolve(answer);
  };
  const capacity = ask('capacity', { bytes: 10n, inodes: 20n, freeInodes: 15n });
  const podMetrics = new PodMetricsService({
    included: selectedGroups(list),
    pods: { list: () => [pod], backendOf: () => ({ runner, platform: { rootfs: { capacity } } }) },
    containers: { list: () => [record] },
    podStats: { usage: ask('network', usage) },
    stats: { written: ask('written', { bytes: 9n, inodes: 1n, at: 3n }) },
    events: { subscribe: () => () => undefined },
    clock: { now: () => 4n, monotonic: () => 0n, sleep: () => new Promise(() => undefined) },
    logger: silent,
  } as never);
  const config = { metrics: { included_pod_metrics: list }, images: { default_registry: 'docker.io' } };
  const images = { status: () => undefined };
  return { asked, calls: metricsCalls({ podMetrics, images, config } as unknown as Services) };
}

const processes = { processes: 2n, descriptors: 8n, sockets: 1n, openFilesLimit: 1024n };
const runner = {
  usageDetails: () => Promise.resolve(details),
  processDetails: () => Promise.resolve(processes),
};

test('metrics have the labels of their descriptors, and no sample of what is not known', async (t) => {
  const { calls } = metricsOf(['all'], runner);
  const { descriptors } = await calls.listMetricDescriptors!({}, {} as never);
  t.is(new Set(descriptors.map(({ name }) => name)).size, descriptors.length);
  const labels = new Map(descriptors.map(({ name, labelKeys }) => [name, labelKeys]));
  t.true(descriptors.every(({ help, labelKeys }) => help.endsWith('.') && labelKeys.length >= 5));
  const answer = await calls.listPodSandboxMetrics!({}, {} as never);
  t.deepEqual(ListPodSandboxMetricsResponse.decode(ListPodSandboxMetricsResponse.encode(answer).finish()), answer);
  const [pod] = answer.podMetrics;
  t.is(pod?.metrics.length, 8);
  const image = 'docker.io/library/i:latest';
  for (const { name, labelValues } of pod?.metrics ?? []) {
    t.is(labelValues.length, labels.get(name)?.length ?? 0, name);
    t.deepEqual(labelValues, ['p1', '', 'shop', 'web', '', 'eth0']);
  }
  const all = pod?.containerMetrics[0]?.metrics ?? [];
  const one = (name: string) => all.find((metric) => metric.name === `container_${name}`);
  for (const { name, labelValues } of all) {
    t.is(labelValues.length, labels.get(name)?.length ?? 0, name);
    t.deepEqual(labelValues.slice(0, 5), ['c1', image, 'shop', 'web', 'c'], name);
  }
  t.like(one('cpu_usage_seconds_total'), { value: { value: 2n }, timestamp: 7_000_000_000n });
  t.is(one('cpu_usage_seconds_total')?.labelValues.at(-1), 'total');
  t.is(one('cpu_user_seconds_total'), undefined);
  t.is(one('pressure_io_waiting_seconds_total'), undefined);
  t.is(one('spec_cpu_quota'), undefined);
  t.is(one('spec_cpu_shares')?.value?.value, 1024n);
  t.is(one('spec_memory_limit_bytes')?.value?.value, 0n);
  t.is(one('threads_max')?.value?.value, 0n);
  t.is(one('memory_failures_total')?.labelValues.slice(5).join(' '), 'pgfault hierarchy');
  t.deepEqual(one('blkio_device_usage_total')?.labelValues.slice(5), ['/dev/sda', '8', '0', 'Read']);
  t.is(one('fs_writes_total'), undefined);
  t.like(one('fs_usage_bytes'), { value: { value: 9n }, timestamp: 3n });
  t.like(one('file_descriptors'), { value: { value: 8n }, timestamp: 4n });
  t.like(one('ulimits_soft'), { value: { value: 1024n } });
  t.is(one('ulimits_soft')?.labelValues.at(-1), 'max_open_files');
});

test('groups that are not included have no descriptor, no sample and no cost', async (t) => {
  const names = async (list: readonly (MetricGroup | 'all')[]) => {
    const { calls, asked } = metricsOf(list, { ...runner, processDetails: () => Promise.reject(new Error('asked')) });
    const { descriptors } = await calls.listMetricDescriptors!({}, {} as never);
    const { podMetrics } = await calls.listPodSandboxMetrics!({}, {} as never);
    const samples = podMetrics.flatMap(({ metrics, containerMetrics }) => [
      ...metrics,
      ...containerMetrics.flatMap((container) => container.metrics),
    ]);
    const described = new Set(descriptors.map(({ name }) => name));
    t.true(samples.every(({ name }) => described.has(name)));
    return { described, asked: [...asked].sort() };
  };
  t.deepEqual(await names([]), { described: new Set(['container_last_seen']), asked: [] });
  const cpu = await names(['cpu']);
  t.is(cpu.described.size, 7);
  t.deepEqual(cpu.asked, []);
  t.deepEqual((await names(['network'])).asked, ['network']);
  t.deepEqual((await names(['disk'])).asked, ['capacity', 'written']);
  const all = await names(['all', 'cpu']);
  let sum = 1;
  for (const group of METRIC_GROUPS) sum += (await names([group])).described.size - 1;
  t.is(all.described.size, sum);
  // The survey fails, and costs only what it is for.
  t.deepEqual(all.asked, ['network', 'written']);
  const page = await readFile(new URL('../../../docs/metrics.md', import.meta.url), 'utf8');
  const documented = new Set([...page.matchAll(/`(container_[a-z_]+)`/g)].map(([, name]) => name));
  t.deepEqual([...documented].sort(), [...all.described].sort());
});
