import { invalidArgument } from '../../core/model/errors.ts';
import type { NetworkRequest } from '../../core/model/network.ts';
import type { CniConfigList, CniPluginConfig } from './cni-config.ts';

/** CNI_ARGS of an attachment that is no pod's yet. */
export const NO_POD = 'IgnoreUnknown=1';

/**
 * CNI_ARGS of a pod, as Kubernetes' plugins expect them.
 * @throws CriError INVALID_ARGUMENT for a value that would end its own entry, and for a container id the CNI
 * specification does not allow.
 */
export function cniArgs(request: NetworkRequest): string {
  if (!/^[A-Za-z0-9][\w.-]*$/.test(request.sandboxId)) {
    throw invalidArgument('pod_sandbox_id', `${JSON.stringify(request.sandboxId)} is not a CNI container id`);
  }
  const entries: [key: string, value: string, field: string][] = [
    ['K8S_POD_NAMESPACE', request.podNamespace, 'metadata.namespace'],
    ['K8S_POD_NAME', request.podName, 'metadata.name'],
    ['K8S_POD_INFRA_CONTAINER_ID', request.sandboxId, 'pod_sandbox_id'],
    ['K8S_POD_UID', request.podUid, 'metadata.uid'],
  ];
  const pairs = entries.map(([key, value, field]) => {
    if (/[;=\x00-\x1f\x7f]/.test(value))
      throw invalidArgument(field, `${JSON.stringify(value)} must not contain ";", "=" or control characters`);
    return `${key}=${value}`;
  });
  return [NO_POD, ...pairs].join(';');
}

/**
 * The input of a plugin call: its configuration with the list's name and version, the result so far, and the pod's
 * values.
 */
export function pluginInput(
  list: CniConfigList,
  plugin: CniPluginConfig,
  pod: { prevResult?: unknown; runtimeConfig?: Record<string, unknown> } = {},
): Record<string, unknown> {
  const config: Record<string, unknown> = { ...plugin };
  delete config.capabilities;
  const { prevResult, runtimeConfig: values = {} } = pod;
  return {
    ...config,
    name: list.name,
    cniVersion: list.cniVersion,
    ...(prevResult !== undefined && { prevResult }),
    ...(Object.keys(values).length > 0 && { runtimeConfig: values }),
  };
}

/**
 * The pod's values for the capabilities that a plugin declares, as CNI's CONVENTIONS.md names them (rates are bits a second
 * there, bursts bits); the annotations' name is containerd's.
 */
export function runtimeConfig(plugin: CniPluginConfig, request: NetworkRequest): Record<string, unknown> {
  const { portMappings, dns, cgroupParent, annotations } = request;
  const { ingressRate, egressRate } = request.bandwidth ?? {};
  const values: Record<string, unknown> = {};
  if (portMappings.length > 0) {
    values.portMappings = portMappings.map(({ hostIp, hostPort, containerPort, protocol }) => ({
      hostPort,
      containerPort,
      protocol,
      ...(hostIp !== '' && { hostIP: hostIp }),
    }));
  }
  if (ingressRate !== undefined || egressRate !== undefined) {
    values.bandwidth = {
      ...(ingressRate !== undefined && { ingressRate, ingressBurst: burst }),
      ...(egressRate !== undefined && { egressRate, egressBurst: burst }),
    };
  }
  if (dns !== undefined) values.dns = dns;
  if (cgroupParent !== '') values.cgroupPath = cgroupParent;
  values['io.kubernetes.cri.pod-annotations'] = annotations;
  return Object.fromEntries(Object.entries(values).filter(([name]) => plugin.capabilities?.[name] === true));
}

/** The maximum burst of the bandwidth plugin: it then limits only the rate. */
const burst = 2_147_483_647;
