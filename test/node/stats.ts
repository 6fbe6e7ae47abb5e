import type { TestFn } from 'ava';
import { eventually } from '../lib/eventually.ts';
import type { NodeUnderTest } from './node-under-test.ts';
import { shell, WAIT } from './pod-parts.ts';

interface PodStats {
  podRef: { name: string };
  cpu?: { usageCoreNanoSeconds?: number; usageNanoCores?: number };
  memory?: { workingSetBytes?: number };
  network?: { name?: string; rxBytes?: number; txBytes?: number };
  process_stats?: { process_count?: number };
  'ephemeral-storage'?: { usedBytes?: number };
  containers?: (Omit<PodStats, 'podRef' | 'network'> & {
    name: string;
    rootfs?: { usedBytes?: number };
    logs?: object;
  })[];
}

/** What a kubelet reports of pods, by the runtime's statistics and by its own. */
export function statsTests(test: TestFn, under: () => NodeUnderTest): void {
  for (const isFromCri of [true, false]) {
    test.serial(`statistics of pods are complete ${isFromCri ? 'from the CRI' : 'from the kubelet'}`, async (t) => {
      const its = under();
      await its.node.restartKubelet({ gates: { PodAndContainerStatsFromCRI: isFromCri } });
      await its.run('measured', { containers: [shell('busy', `while sleep 0.05; do :; done & ${WAIT}`)] });
      await its.ready('measured');
      const stats = await eventually('statistics of the pod', async () => {
        const summary = JSON.parse(await its.kubelet('/stats/summary')) as {
          pods: PodStats[];
        };
        const found = summary.pods.find(({ podRef }) => podRef.name === its.nameOf('measured'));
        return (found?.cpu?.usageNanoCores ?? 0) > 0 && (found?.containers?.[0]?.cpu?.usageNanoCores ?? 0) > 0 && found;
      });
      const figures = {
        memory: stats.memory?.workingSetBytes,
        storage: stats['ephemeral-storage']?.usedBytes,
        containerMemory: stats.containers?.[0]?.memory?.workingSetBytes,
        containerRootfs: stats.containers?.[0]?.rootfs?.usedBytes,
      };
      for (const [name, value] of Object.entries(figures)) t.true((value ?? 0) > 0, name);
      // cAdvisor counts these only of containers of runtimes that it knows.
      if (isFromCri) {
        t.is(stats.network?.name, 'eth0');
        t.true((stats.process_stats?.process_count ?? 0) > 1);
      }

      const pod = `pod="${its.nameOf('measured')}"`;
      const resource = await its.kubelet('/metrics/resource');
      for (const metric of ['cpu_usage_seconds_total', 'memory_working_set_bytes']) {
        t.regex(
          resource,
          new RegExp(`^container_${metric}\\{container="busy",namespace="default",${pod}\\} [0-9.e+]+`, 'm'),
        );
        t.regex(resource, new RegExp(`^pod_${metric}\\{namespace="default",${pod}\\} [0-9.e+]+`, 'm'));
      }

      const cadvisor = await its.kubelet('/metrics/cadvisor');
      t.regex(cadvisor, /^machine_cpu_cores/m);
      if (isFromCri) {
        const has = (metric: string, label: string) =>
          t.true(
            cadvisor
              .split('\n')
              .some((line) => line.startsWith(`${metric}{`) && line.includes(label) && line.includes(pod)),
            metric,
          );
        for (const metric of ['cpu_usage_seconds_total', 'memory_working_set_bytes', 'threads', 'fs_usage_bytes'])
          has(`container_${metric}`, 'container="busy"');
        has('container_network_receive_bytes_total', 'interface="eth0"');
      }
      await its.remove('measured');
      await its.node.restartKubelet({});
    });
  }
}
