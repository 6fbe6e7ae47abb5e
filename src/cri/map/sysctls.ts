import { invalidArgument } from '../../core/model/errors.ts';
import type { PodNamespaces } from '../../core/model/pod-spec.ts';
import { isSysctlValue, sysctlName } from '../../core/model/sysctl.ts';

/** The configured defaults of pods with their own network; absent ones are the kernel's. */
export interface SysctlDefaults {
  /** Every user can listen on ports below 1024. */
  unprivilegedPorts?: boolean;
  /** Every group can open ICMP echo sockets, so that ping needs no capability (icmp(7)). */
  unprivilegedIcmp?: boolean;
}

/** The last group id (group ids end below 2^31 for this parameter). */
const LAST_GROUP = 2_147_483_647;

/** The default kernel parameters of a pod. They do not affect the node: the pod has its own network. */
export function defaultSysctls({ network, user }: PodNamespaces, defaults: SysctlDefaults): Record<string, string> {
  if (network === 'node') return {};
  // Ids that a user namespace does not map cannot be written in it.
  const last = Math.min(LAST_GROUP, user === undefined ? LAST_GROUP : user.size - 1);
  return {
    ...(defaults.unprivilegedPorts && { 'net.ipv4.ip_unprivileged_port_start': '0' }),
    ...(defaults.unprivilegedIcmp && { 'net.ipv4.ping_group_range': `0 ${String(last)}` }),
  };
}

/**
 * The kernel parameters of a pod (CRI LinuxPodSandboxConfig.sysctls), with names of {@link sysctlName}. Each must belong to a
 * namespace that the pod owns; otherwise it would change the node.
 * @throws CriError INVALID_ARGUMENT naming the parameter.
 */
export function podSysctls(asked: Record<string, string>, namespaces: PodNamespaces): Record<string, string> {
  const sysctls = new Map<string, string>();
  for (const [text, value] of Object.entries(asked)) {
    const field = `config.linux.sysctls[${JSON.stringify(text)}]`;
    const name = sysctlName(text);
    if (name === undefined) throw invalidArgument(field, 'is not the name of a kernel parameter (sysctl(8))');
    if (!isSysctlValue(value)) throw invalidArgument(field, 'must be 1 to 4095 printable ASCII characters on one line');
    const isNetwork = name.startsWith('net.');
    const isIpc = /^(kernel\.(shm|msg|sem)|fs\.mqueue\.)/.test(name);
    if (!isNetwork && !isIpc) throw invalidArgument(field, 'not namespaced; set it on the node');
    if (isNetwork && namespaces.network === 'node')
      throw invalidArgument(field, 'would change the node: the pod has host network');
    if (isIpc && namespaces.ipc === 'node')
      throw invalidArgument(field, 'would change the node: the pod has the IPC namespace of the node');
    if (sysctls.has(name)) throw invalidArgument(field, `is a duplicate of ${name}`);
    sysctls.set(name, value);
  }
  return Object.fromEntries(sysctls);
}
