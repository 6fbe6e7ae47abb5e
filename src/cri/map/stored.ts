import { ContainerConfig, LinuxContainerResources, PodSandboxConfig } from '../../../api/gen/cri.ts';
import type { ContainerRecord } from '../../core/model/container.ts';
import type { SandboxRecord } from '../../core/model/sandbox.ts';
import { defined } from '../../utils/object.ts';
import type { CgroupSettings } from './cgroup-parent.ts';
import { containerSpec } from './container-spec.ts';
import { podSpec } from './pod-spec.ts';
import { toOpaque } from './request.ts';
import { podLimits } from './resources.ts';

/**
 * Reads a pod's record of format 1, which has the request's configuration and the values of UpdatePodSandboxResources instead
 * of a {@link podSpec}. @throws CriError as {@link podSpec}
 */
export function storedPod(settings: CgroupSettings) {
  return (stored: Record<string, unknown>): Pick<SandboxRecord, 'spec' | 'request'> => {
    const config = PodSandboxConfig.fromPartial(stored['config'] as PodSandboxConfig);
    const later = (stored['resources'] ?? {}) as Partial<Record<'overhead' | 'resources', LinuxContainerResources>>;
    const limits = (key: keyof typeof later) =>
      later[key] && podLimits(LinuxContainerResources.fromPartial(later[key]), key);
    const spec = {
      ...podSpec(config, settings),
      ...defined({ overhead: limits('overhead'), resources: limits('resources') }),
    };
    return { spec, request: toOpaque(config) };
  };
}

/** The same for a container's record. @throws CriError as {@link containerSpec} */
export function storedContainer(stored: Record<string, unknown>): Pick<ContainerRecord, 'spec' | 'request'> {
  const config = ContainerConfig.fromPartial(stored['config'] as ContainerConfig);
  return { spec: containerSpec(config), request: toOpaque(config) };
}
