import { isIP } from 'node:net';
import { NamespaceMode, Protocol, SecurityProfile_ProfileType } from '../../../../api/gen/cri.ts';
import type { PodSandboxConfig, PortMapping } from '../../../../api/gen/cri.ts';
import { invalidArgument, unimplemented } from '../../model/errors.ts';
import { checkAbsolutePath, checkLine } from '../checks.ts';
import { podBandwidth } from './bandwidth.ts';
import { podUserNamespace } from './user-namespace.ts';

const SYSCTL_NAME = /^[a-z0-9_]+([./][a-zA-Z0-9_-]+)+$/;

/**
 * Refuses a pod configuration that is malformed or asks for what is not built, before anything is made.
 * @throws CriError INVALID_ARGUMENT or UNIMPLEMENTED, naming the field of RunPodSandboxRequest.
 */
export function validatePodConfig(config: PodSandboxConfig): void {
  const { metadata } = config;
  if (metadata === undefined) throw invalidArgument('config.metadata', 'is required');
  for (const key of ['name', 'namespace', 'uid'] as const) {
    if (metadata[key] === '') throw invalidArgument(`config.metadata.${key}`, 'must not be empty');
    checkLine(`config.metadata.${key}`, metadata[key]);
  }
  if (config.logDirectory !== '') checkAbsolutePath('config.log_directory', config.logDirectory);
  if (config.windows !== undefined) throw unimplemented('config.windows: a Windows pod');
  config.portMappings.forEach(validatePortMapping);
  for (const key of ['servers', 'searches', 'options'] as const) {
    config.dnsConfig?.[key].forEach((value, index) => {
      // A blank would begin another word on the line of resolv.conf.
      if (/\s/.test(value))
        throw invalidArgument(`config.dns_config.${key}[${String(index)}]`, 'must hold no white space');
      checkLine(`config.dns_config.${key}[${String(index)}]`, value);
    });
  }
  podBandwidth(config.annotations);
  validateLinux(config);
}

function validatePortMapping(mapping: PortMapping, index: number): void {
  const field = `config.port_mappings[${String(index)}]`;
  for (const key of ['containerPort', 'hostPort'] as const) {
    if (mapping[key] < 0 || mapping[key] > 65_535) throw invalidArgument(`${field}.${key}`, 'must be from 0 to 65535');
  }
  if (mapping.hostPort > 0 && mapping.containerPort === 0) {
    throw invalidArgument(`${field}.containerPort`, 'must be from 1 to 65535 when there is a hostPort');
  }
  const known: readonly number[] = [Protocol.TCP, Protocol.UDP, Protocol.SCTP];
  if (!known.includes(mapping.protocol)) throw invalidArgument(`${field}.protocol`, 'must be TCP, UDP or SCTP');
  if (mapping.hostIp !== '' && isIP(mapping.hostIp) === 0) {
    throw invalidArgument(`${field}.host_ip`, `${JSON.stringify(mapping.hostIp)} must be an IP address or empty`);
  }
}

function validateLinux(config: PodSandboxConfig): void {
  const linux = config.linux;
  if (linux === undefined) return;
  if (linux.cgroupParent !== '') checkLine('config.linux.cgroup_parent', linux.cgroupParent);
  const context = linux.securityContext;
  const namespaces = context?.namespaceOptions;
  if (namespaces !== undefined) {
    const allowed: readonly number[] = [NamespaceMode.POD, NamespaceMode.NODE];
    for (const key of ['network', 'ipc'] as const) {
      if (!allowed.includes(namespaces[key])) {
        throw invalidArgument(`config.linux.security_context.namespace_options.${key}`, 'must be POD or NODE');
      }
    }
    if (namespaces.pid === NamespaceMode.TARGET) {
      throw invalidArgument('config.linux.security_context.namespace_options.pid', 'TARGET is for containers only');
    }
    podUserNamespace(namespaces);
  }
  const selinux = context?.selinuxOptions;
  if (selinux !== undefined && [selinux.user, selinux.role, selinux.type, selinux.level].some((part) => part !== '')) {
    throw unimplemented('config.linux.security_context.selinux_options: SELinux');
  }
  // A seccomp profile of the sandbox has nothing to confine: no process of it runs what the request brings.
  if (context?.apparmor?.profileType === SecurityProfile_ProfileType.Localhost) {
    throw unimplemented('config.linux.security_context.apparmor: a profile for the sandbox itself');
  }
  validateSysctls(linux.sysctls, {
    network: namespaces?.network === NamespaceMode.NODE,
    ipc: namespaces?.ipc === NamespaceMode.NODE,
  });
}

/** A kernel parameter may be set only in a namespace the pod owns, or it would change the node. */
function validateSysctls(sysctls: Record<string, string>, node: { network: boolean; ipc: boolean }): void {
  for (const [name, value] of Object.entries(sysctls)) {
    const field = `config.linux.sysctls[${JSON.stringify(name)}]`;
    if (!SYSCTL_NAME.test(name) || name.includes('..'))
      throw invalidArgument(field, 'is not the name of a kernel parameter');
    checkLine(field, value);
    const dotted = name.replaceAll('/', '.');
    const isNetwork = dotted.startsWith('net.');
    const isIpc = /^(kernel\.(shm|msg|sem)|fs\.mqueue\.)/.test(dotted);
    if (!isNetwork && !isIpc) throw invalidArgument(field, 'belongs to no namespace of a pod: set it on the node');
    if (isNetwork && node.network) throw invalidArgument(field, 'would change the node: the pod uses its network');
    if (isIpc && node.ipc) throw invalidArgument(field, 'would change the node: the pod uses its IPC namespace');
  }
}
