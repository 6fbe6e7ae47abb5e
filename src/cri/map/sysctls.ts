import { invalidArgument } from '../../core/model/errors.ts';
import type { PodNamespaces } from '../../core/model/pod-spec.ts';
import { isSysctlValue, sysctlName } from '../../core/model/sysctl.ts';

/**
 * The kernel parameters of a pod (CRI LinuxPodSandboxConfig.sysctls), named as {@link sysctlName} gives them. One may be
 * set only in a namespace that the pod owns, or it would change the node.
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
    if (!isNetwork && !isIpc) throw invalidArgument(field, 'belongs to no namespace of a pod: set it on the node');
    if (isNetwork && namespaces.network === 'node')
      throw invalidArgument(field, 'would change the node: the pod uses its network');
    if (isIpc && namespaces.ipc === 'node')
      throw invalidArgument(field, 'would change the node: the pod uses its IPC namespace');
    if (sysctls.has(name)) throw invalidArgument(field, `is named twice, as ${name} too`);
    sysctls.set(name, value);
  }
  return Object.fromEntries(sysctls);
}
