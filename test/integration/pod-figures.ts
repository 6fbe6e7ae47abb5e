import { writeFile } from 'node:fs/promises';
import type { ExecutionContext } from 'ava';
import { LinuxContainerResources, NamespaceMode, RuntimeServiceService } from '../../api/gen/cri.ts';
import type { Metric, StreamPodSandboxMetricsResponse } from '../../api/gen/cri.ts';
import { eventually, HANG_MS } from '../lib/eventually.ts';
import type { ServerFixture } from './server-fixture.ts';

const MIB = 1_048_576n;
const LIMIT = 64n * MIB;

/** Memory and files of its own, a process that listens, and one that waits. */
const SCRIPT =
  `x=$(head -c ${String(8n * MIB)} /dev/zero | tr '\\0' x); exec 7</dev/null 8</dev/null; nc -l -p 8080 </dev/null & ` +
  'sleep 1000 & nc -w 1 127.0.0.1 9; while :; do [ -e /stop ] || : ; done & echo up; wait';

/** Names without a sample where the kernel or the machine has nothing to tell. */
const OPTIONAL = /^container_(pressure|hugetlb|fs_(reads|writes)|blkio)_/;

/** The statistics and metrics of a pod on a handler, beside what the kernel says; `version`: of cgroups. */
export async function checkPodFigures(t: ExecutionContext, server: ServerFixture, handler: string, version: 1 | 2) {
  const { client } = server;
  const name = `figures-${handler}`;
  const pod = await server.pod(name, { labels: { figures: handler } }, handler);
  const networkOf = async (podSandboxId: string) =>
    (await client.call(RuntimeServiceService.podSandboxStats, { podSandboxId })).stats?.linux?.network;
  // Also without a process of the pod, as on crun.
  t.is((await networkOf(pod))?.defaultInterface?.name, 'eth0');
  const namespaceOptions = { network: NamespaceMode.NODE };
  const onNode = await server.pod(`${name}-node`, { linux: { securityContext: { namespaceOptions } } }, handler);
  t.is(await networkOf(onNode), undefined);
  const resources = LinuxContainerResources.create({
    cpuQuota: 20_000n,
    cpuPeriod: 100_000n,
    cpuShares: 512n,
    memoryLimitInBytes: LIMIT,
    memorySwapLimitInBytes: LIMIT,
  });
  const id = await server.sh(pod, 'c', SCRIPT, { linux: { resources } });
  await server.said(name, 'c', 'up');
  const filter = { id: '', labelSelector: { figures: handler } };

  const stats = await eventually('a rate', async () => {
    const [only] = (await client.call(RuntimeServiceService.listPodSandboxStats, { filter })).stats;
    const rates = [only?.linux?.cpu, only?.linux?.containers[0]?.cpu].map((cpu) => cpu?.usageNanoCores?.value ?? 0n);
    return rates.every((rate) => rate > 0n) ? only : undefined;
  });
  const { stats: alone } = await client.call(RuntimeServiceService.podSandboxStats, { podSandboxId: pod });
  t.deepEqual(alone?.attributes, stats?.attributes);
  t.is(alone?.attributes?.id, pod);
  const [container] = stats?.linux?.containers ?? [];
  t.is(container?.attributes?.id, id);
  t.true((container?.memory?.usageBytes?.value ?? 0n) >= 8n * MIB);
  t.true((stats?.linux?.memory?.usageBytes?.value ?? 0n) >= (container?.memory?.workingSetBytes?.value ?? 0n));
  t.true((stats?.linux?.process?.processCount?.value ?? 0n) >= 4n);
  // A fifth of a processor, and some for the kernel's accounting by ticks.
  t.true((container?.cpu?.usageNanoCores?.value ?? 0n) < 1_000_000_000n);
  const memory = container?.memory;
  t.is((memory?.availableBytes?.value ?? 0n) + (memory?.workingSetBytes?.value ?? 0n), LIMIT);
  t.is(container?.swap?.swapAvailableBytes?.value, 0n);
  t.is(container?.memory?.psi !== undefined && container.cpu?.psi !== undefined, version === 2);
  t.is(stats?.linux?.io?.psi !== undefined && stats.linux.cpu?.psi !== undefined, version === 2);
  t.is(stats?.linux?.memory?.availableBytes, undefined);
  // The kubelet limits a pod in the cgroup above.
  const limit =
    version === 2
      ? `/sys/fs/cgroup${server.cgroup}/memory.max`
      : `/sys/fs/cgroup/memory${server.cgroup}/memory.limit_in_bytes`;
  await writeFile(limit, String(1024n * MIB));
  const available = await eventually('what the limit leaves', async () => {
    const limited = (await client.call(RuntimeServiceService.podSandboxStats, { podSandboxId: pod })).stats;
    return limited?.linux?.memory?.availableBytes?.value;
  });
  await writeFile(limit, version === 2 ? 'max' : '-1');
  t.true(available > 512n * MIB && available < 1024n * MIB, String(available));
  const network = stats?.linux?.network;
  t.is(network?.defaultInterface?.name, 'eth0');
  t.deepEqual(network?.interfaces, [network?.defaultInterface]);
  t.true((network?.defaultInterface?.txBytes?.value ?? 0n) > 0n);

  const { descriptors } = await client.call(RuntimeServiceService.listMetricDescriptors, {});
  const keys = new Map(descriptors.map(({ name: metric, labelKeys }) => [metric, labelKeys]));
  const { podMetrics } = await client.call(RuntimeServiceService.listPodSandboxMetrics, {});
  const streamed: string[] = [];
  const stream = client.stream(RuntimeServiceService.streamPodSandboxMetrics, {}, AbortSignal.timeout(HANG_MS));
  for await (const { podSandboxMetrics } of stream as AsyncIterable<StreamPodSandboxMetricsResponse>) {
    streamed.push(...podSandboxMetrics.map(({ podSandboxId }) => podSandboxId));
  }
  t.deepEqual(streamed.sort(), podMetrics.map(({ podSandboxId }) => podSandboxId).sort());
  const own = podMetrics.find(({ podSandboxId }) => podSandboxId === pod);
  t.deepEqual(
    own?.containerMetrics.map(({ containerId }) => containerId),
    [id],
  );
  const samples = [...(own?.metrics ?? []), ...(own?.containerMetrics[0]?.metrics ?? [])];
  const missing = [...keys.keys()].filter((metric) => !samples.some((sample) => sample.name === metric));
  t.deepEqual(
    missing.filter((metric) => !OPTIONAL.test(metric)),
    [],
  );
  t.is(
    missing.some((metric) => metric.startsWith('container_pressure_')),
    version === 1,
  );
  const labels = (sample: Metric) =>
    Object.fromEntries((keys.get(sample.name) ?? []).map((key, index) => [key, sample.labelValues[index]]));
  for (const sample of samples) t.is(sample.labelValues.length, keys.get(sample.name)?.length ?? 0, sample.name);
  t.is(
    new Set(samples.map(({ name: metric, labelValues }) => JSON.stringify([metric, labelValues]))).size,
    samples.length,
  );
  const one = (metric: string) => samples.find((sample) => sample.name === metric)!;
  const value = (metric: string) => one(metric).value?.value ?? -1n;
  const metadata = stats?.attributes?.metadata;
  const base = { namespace: metadata?.namespace, pod: name };
  t.like(labels(one('container_memory_rss')), { ...base, id, container: 'c' });
  t.regex(labels(one('container_memory_rss'))['image'] ?? '', /tiny/);
  const traffic = one('container_network_transmit_bytes_total');
  t.deepEqual(labels(traffic), { ...base, id: pod, container: '', image: '', interface: 'eth0' });

  // The shell, a loop of its own, nc and sleep.
  t.is(value('container_processes'), 4n);
  t.is(value('container_threads'), 4n);
  t.is(value('container_sockets'), 1n);
  t.true(value('container_file_descriptors') >= 4n * 3n + 2n);
  t.is(value('container_ulimits_soft'), 1024n);
  t.is(value('container_spec_cpu_quota'), 20_000n);
  t.is(value('container_spec_cpu_period'), 100_000n);
  t.is(value('container_spec_cpu_shares'), 512n);
  t.is(value('container_spec_memory_limit_bytes'), LIMIT);
  t.is(value('container_spec_memory_swap_limit_bytes'), LIMIT);
  t.is(value('container_spec_memory_reservation_limit_bytes'), 0n);
  t.true(value('container_memory_rss') >= 8n * MIB);
  t.true(value('container_memory_max_usage_bytes') >= value('container_memory_usage_bytes'));
  t.true(value('container_cpu_cfs_throttled_periods_total') > 0n);
  t.true(value('container_fs_limit_bytes') > 0n);
  t.true(value('container_fs_inodes_total') >= value('container_fs_inodes_free'));
  const seconds = Number(value('container_last_seen') - value('container_start_time_seconds'));
  t.true(seconds >= 0 && Math.abs(Date.now() / 1000 - Number(value('container_last_seen'))) < 600);

  await client.call(RuntimeServiceService.stopPodSandbox, { podSandboxId: pod });
  const { stats: stopped } = await client.call(RuntimeServiceService.podSandboxStats, { podSandboxId: pod });
  t.is(stopped?.linux?.cpu, undefined);
  const after = await client.call(RuntimeServiceService.listPodSandboxMetrics, {});
  t.false(after.podMetrics.some(({ podSandboxId }) => podSandboxId === pod));
  t.deepEqual((await client.call(RuntimeServiceService.listPodSandboxStats, { filter })).stats, []);
}
