import { isIP } from 'node:net';
import { Protocol, SecurityProfile_ProfileType } from '../../../api/gen/cri.ts';
import type { DNSConfig, PodSandboxConfig, PodSandboxMetadata, PortMapping } from '../../../api/gen/cri.ts';
import { checkAbsolutePath, checkLine } from '../../core/lifecycle/checks.ts';
import { invalidArgument, unimplemented } from '../../core/model/errors.ts';
import type * as network from '../../core/model/network.ts';
import type { PodMetadata, PodSpec } from '../../core/model/pod-spec.ts';
import { checkStorageAnnotations } from '../../core/model/storage-annotations.ts';
import { defined } from '../../utils/object.ts';
import { podBandwidth } from './bandwidth.ts';
import { cgroupParent } from './cgroup-parent.ts';
import type { CgroupSettings } from './cgroup-parent.ts';
import { checkPodSize } from './config-size.ts';
import { podNamespaces } from './namespaces.ts';
import { podLimits } from './resources.ts';
import { selinuxLabel } from './security.ts';
import { defaultSysctls, podSysctls } from './sysctls.ts';
import type { SysctlDefaults } from './sysctls.ts';

/** The configuration of pods. */
export type PodSettings = CgroupSettings & SysctlDefaults;

const HOSTNAME = /^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,62}[a-zA-Z0-9])?$/;
const PROTOCOLS: Readonly<Record<number, network.PortMapping['protocol']>> = {
  [Protocol.TCP]: 'tcp',
  [Protocol.UDP]: 'udp',
  [Protocol.SCTP]: 'sctp',
};

/**
 * Parses and validates a RunPodSandboxRequest.
 * @throws CriError INVALID_ARGUMENT or UNIMPLEMENTED, naming the field of the request.
 */
export function podSpec(config: PodSandboxConfig | undefined, settings: PodSettings): PodSpec {
  if (config === undefined) throw invalidArgument('config', 'is required');
  checkPodSize(config);
  checkStorageAnnotations(config.annotations);
  const metadata = podMetadata(config.metadata);
  if (config.logDirectory !== '') checkAbsolutePath('config.log_directory', config.logDirectory);
  if (config.windows !== undefined) throw unimplemented('config.windows: a Windows pod');
  const { linux } = config;
  const context = linux?.securityContext;
  const namespaces = podNamespaces(context?.namespaceOptions);
  // The seccomp profile of the sandbox is ignored: no process of it runs a program of the request.
  if (context?.apparmor?.profileType === SecurityProfile_ProfileType.Localhost) {
    throw unimplemented('config.linux.security_context.apparmor: a profile for the sandbox itself');
  }
  return {
    metadata,
    labels: config.labels,
    annotations: config.annotations,
    hostname: namespaces.network === 'node' ? '' : hostnameOf(config.hostname, metadata.name),
    logDirectory: config.logDirectory,
    namespaces,
    sysctls: { ...defaultSysctls(namespaces, settings), ...podSysctls(linux?.sysctls ?? {}, namespaces) },
    // A mapping without a host port has no effect on the host.
    portMappings: config.portMappings.map(portMapping).filter(({ hostPort }) => hostPort > 0),
    cgroupParent: cgroupParent(linux?.cgroupParent ?? '', settings),
    ...defined({
      dns: dnsSettings(config.dnsConfig),
      bandwidth: podBandwidth(config.annotations),
      privileged: context?.privileged === true || undefined,
      selinux: selinuxLabel(context?.selinuxOptions),
      overhead: podLimits(linux?.overhead, 'config.linux.overhead'),
      resources: podLimits(linux?.resources, 'config.linux.resources'),
    }),
  };
}

function podMetadata(metadata: PodSandboxMetadata | undefined): PodMetadata {
  if (metadata === undefined) throw invalidArgument('config.metadata', 'is required');
  for (const key of ['name', 'namespace', 'uid'] as const) {
    if (metadata[key] === '') throw invalidArgument(`config.metadata.${key}`, 'must not be empty');
    checkLine(`config.metadata.${key}`, metadata[key]);
  }
  const { name, namespace, uid, attempt } = metadata;
  return { name, namespace, uid, attempt };
}

/**
 * The pod's hostname; the default is the pod's name, as users of crictl expect.
 * @throws CriError INVALID_ARGUMENT for a hostname that RFC 1123 and the kernel's 64 bytes do not allow.
 */
function hostnameOf(asked: string, podName: string): string {
  const name = asked || podName.slice(0, 63).replace(/[^a-zA-Z0-9]+$/, '');
  if (!HOSTNAME.test(name)) {
    const problem = 'must be 1 to 64 letters, digits, "-" or ".", with a letter or digit at both ends (RFC 1123)';
    throw invalidArgument('config.hostname', `${JSON.stringify(name)} ${problem}`);
  }
  return name;
}

function portMapping(mapping: PortMapping, index: number): network.PortMapping {
  const field = `config.port_mappings[${String(index)}]`;
  const { containerPort, hostPort, hostIp } = mapping;
  for (const [key, port] of Object.entries({ container_port: containerPort, host_port: hostPort })) {
    if (port < 0 || port > 65_535) throw invalidArgument(`${field}.${key}`, 'must be from 0 to 65535');
  }
  if (hostPort > 0 && containerPort === 0) {
    throw invalidArgument(`${field}.container_port`, 'must be from 1 to 65535 with a host_port');
  }
  const protocol = PROTOCOLS[mapping.protocol];
  if (protocol === undefined) throw invalidArgument(`${field}.protocol`, 'must be TCP, UDP or SCTP');
  if (hostIp !== '' && isIP(hostIp) === 0) {
    throw invalidArgument(`${field}.host_ip`, `${JSON.stringify(hostIp)} must be an IP address or empty`);
  }
  return { hostIp, hostPort, containerPort, protocol };
}

function dnsSettings(dns: DNSConfig | undefined): network.DnsSettings | undefined {
  if (dns === undefined) return undefined;
  const { servers, searches, options } = dns;
  for (const [key, values] of Object.entries({ servers, searches, options })) {
    values.forEach((value, index) => {
      const field = `config.dns_config.${key}[${String(index)}]`;
      // White space would start another word on the line of resolv.conf.
      if (/\s/.test(value)) throw invalidArgument(field, 'must not contain white space');
      checkLine(field, value);
    });
  }
  return { servers, searches, options };
}
