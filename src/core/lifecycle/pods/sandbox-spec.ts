import { NamespaceMode, Protocol } from '../../../../api/gen/cri.ts';
import type { PodSandboxConfig } from '../../../../api/gen/cri.ts';
import { invalidArgument } from '../../model/errors.ts';
import type { NetworkRequest, PortMapping } from '../../model/network.ts';
import type { IdRange } from '../../model/id-range.ts';
import type { SandboxRecord } from '../../model/sandbox.ts';
import type { SandboxSpec } from '../../model/sandbox-provider.ts';
import { podBandwidth } from './bandwidth.ts';
import { cgroupParentPath } from './cgroup-parent.ts';
import { podUserNamespace } from './user-namespace.ts';

const HOSTNAME = /^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,62}[a-zA-Z0-9])?$/;

/**
 * The namespaces a pod asks for; CRI's POD is the zero value, so an absent message means POD everywhere but for the user
 * namespace, which is then the node's. @throws CriError INVALID_ARGUMENT for a user namespace that no pod can have.
 */
export function namespaceOptions(config: PodSandboxConfig): {
  network: 'pod' | 'node';
  ipc: 'pod' | 'node';
  pid: SandboxSpec['pid'];
  user: IdRange | undefined;
} {
  const options = config.linux?.securityContext?.namespaceOptions;
  const scope = (mode: NamespaceMode | undefined) => (mode === NamespaceMode.NODE ? 'node' : 'pod');
  const pid = options?.pid ?? NamespaceMode.POD;
  return {
    network: scope(options?.network),
    ipc: scope(options?.ipc),
    pid: pid === NamespaceMode.NODE ? 'node' : pid === NamespaceMode.POD ? 'pod' : 'container',
    user: podUserNamespace(options),
  };
}

/**
 * What the provider is asked for, derived from the record alone.
 * @throws CriError INVALID_ARGUMENT for a hostname that RFC 1123 and the kernel's 64 bytes do not allow.
 */
export function sandboxSpec(
  record: SandboxRecord,
  settings: { runDir: string; defaultCgroupParent: string },
): SandboxSpec {
  const { config } = record;
  const { user, ...namespaces } = namespaceOptions(config);
  return {
    id: record.id,
    hostname: namespaces.network === 'node' ? '' : hostnameOf(config),
    ...namespaces,
    ...(user !== undefined && { userNamespace: user }),
    sysctls: Object.fromEntries(
      Object.entries(config.linux?.sysctls ?? {}).map(([name, value]) => [name.replaceAll('/', '.'), value]),
    ),
    cgroupParent: cgroupParentPath(config.linux?.cgroupParent || settings.defaultCgroupParent),
    runDir: settings.runDir,
  };
}

/** The pod's hostname; a pod without one is named after the pod, as users of crictl expect. */
export function hostnameOf(config: PodSandboxConfig): string {
  const name = config.hostname || (config.metadata?.name ?? '').slice(0, 63).replace(/[^a-zA-Z0-9]+$/, '');
  if (!HOSTNAME.test(name)) {
    const problem = 'must be 1 to 64 letters, digits, "-" or ".", with a letter or digit at both ends (RFC 1123)';
    throw invalidArgument('config.hostname', `${JSON.stringify(name)} ${problem}`);
  }
  return name;
}

/** What the network is asked for. Port mappings without a host port offer nothing on the host (CRI PortMapping). */
export function networkRequest(record: SandboxRecord, netns: string | undefined): NetworkRequest {
  const { config } = record;
  const bandwidth = podBandwidth(config.annotations);
  const protocols: Record<number, PortMapping['protocol']> = {
    [Protocol.TCP]: 'tcp',
    [Protocol.UDP]: 'udp',
    [Protocol.SCTP]: 'sctp',
  };
  return {
    sandboxId: record.id,
    podName: config.metadata?.name ?? '',
    podNamespace: config.metadata?.namespace ?? '',
    podUid: config.metadata?.uid ?? '',
    netns,
    ...(bandwidth !== undefined && { bandwidth }),
    portMappings: config.portMappings
      .filter((mapping) => mapping.hostPort > 0)
      .map((mapping) => ({
        hostIp: mapping.hostIp,
        hostPort: mapping.hostPort,
        containerPort: mapping.containerPort,
        protocol: protocols[mapping.protocol] ?? 'tcp',
      })),
    ...(config.dnsConfig !== undefined && { dns: { ...config.dnsConfig } }),
    cgroupParent: config.linux?.cgroupParent ?? '',
    annotations: config.annotations,
  };
}
