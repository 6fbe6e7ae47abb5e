import { LinuxPodSandbox, PodSandbox } from '../../../../api/gen/nri.ts';
import type { PluginPod } from '../../../core/model/plugins.ts';
import { toLinuxResources } from './resources.ts';

/** A pod as plugins see it. */
export function toPodSandbox({ record, placement }: PluginPod): PodSandbox {
  const { spec } = record;
  const { name, namespace, uid } = spec.metadata;
  const { overhead, resources } = spec;
  const joined = Object.entries(placement?.namespaces ?? {});
  return PodSandbox.create({
    id: record.id,
    name,
    uid,
    namespace,
    labels: spec.labels,
    annotations: spec.annotations,
    runtimeHandler: record.handler,
    linux: LinuxPodSandbox.create({
      ...(overhead !== undefined && { podOverhead: toLinuxResources(overhead) }),
      ...(resources !== undefined && { podResources: toLinuxResources(resources) }),
      cgroupParent: spec.cgroupParent.asked || spec.cgroupParent.path,
      cgroupsPath: placement?.cgroup ?? '',
      namespaces: joined.map(([type, path]) => ({ type, path })),
    }),
    ips: record.network?.ips ?? [],
  });
}
