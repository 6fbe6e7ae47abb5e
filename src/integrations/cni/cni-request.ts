import { invalidArgument } from '../../core/model/errors.ts';
import type { NetworkRequest } from '../../core/model/network.ts';
import type { CniConfigList, CniPluginConfig } from './cni-config.ts';

/** The name of the pod's interface; Kubernetes knows one network a pod. */
export const podInterface = 'eth0';

/**
 * CNI_ARGS of a pod: what Kubernetes' plugins expect.
 * @throws CriError INVALID_ARGUMENT for a value that would end its own entry, and for a container id the CNI specification
 * does not allow.
 */
export function cniArgs(request: NetworkRequest): string {
  if (!/^[A-Za-z0-9][\w.-]*$/.test(request.sandboxId)) {
    throw invalidArgument('pod_sandbox_id', `${JSON.stringify(request.sandboxId)} is no CNI container id`);
  }
  const entries: [key: string, value: string, field: string][] = [
    ['K8S_POD_NAMESPACE', request.podNamespace, 'metadata.namespace'],
    ['K8S_POD_NAME', request.podName, 'metadata.name'],
    ['K8S_POD_INFRA_CONTAINER_ID', request.sandboxId, 'pod_sandbox_id'],
    ['K8S_POD_UID', request.podUid, 'metadata.uid'],
  ];
  const pairs = entries.map(([key, value, field]) => {
    if (/[;=\x00-\x1f\x7f]/.test(value))
      throw invalidArgument(field, `${JSON.stringify(value)} must not hold ";", "=" or control characters`);
    return `${key}=${value}`;
  });
  return ['IgnoreUnknown=1', ...pairs].join(';');
}

/** What a plugin reads for one call: its configuration with the list's name, the result so far, and the pod's values for its capabilities. */
export function pluginInput(
  list: CniConfigList,
  plugin: CniPluginConfig,
  request: NetworkRequest,
  prevResult: unknown,
): Record<string, unknown> {
  const { capabilities, ...config } = plugin;
  const runtimeConfig = runtimeConfigFor(capabilities ?? {}, request);
  return {
    ...config,
    name: list.name,
    cniVersion: list.cniVersion,
    ...(prevResult !== undefined && { prevResult }),
    ...(Object.keys(runtimeConfig).length > 0 && { runtimeConfig }),
  };
}

/** Conventions of CNI's CONVENTIONS.md; rates there are bits a second, bursts bits. */
function runtimeConfigFor(capabilities: Record<string, boolean>, request: NetworkRequest): Record<string, unknown> {
  const config: Record<string, unknown> = {};
  if (capabilities.portMappings === true && request.portMappings.length > 0) {
    config.portMappings = request.portMappings.map(({ hostIp, hostPort, containerPort, protocol }) => ({
      hostPort,
      containerPort,
      protocol,
      ...(hostIp !== '' && { hostIP: hostIp }),
    }));
  }
  const { ingressRate, egressRate } = request.bandwidth ?? {};
  if (capabilities.bandwidth === true && (ingressRate !== undefined || egressRate !== undefined)) {
    config.bandwidth = {
      ...(ingressRate !== undefined && { ingressRate, ingressBurst: burst }),
      ...(egressRate !== undefined && { egressRate, egressBurst: burst }),
    };
  }
  return config;
}

/** The largest burst the bandwidth plugin takes: it then limits the rate alone. */
const burst = 2_147_483_647;
