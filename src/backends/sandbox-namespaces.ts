import type { Placement, SandboxSpec } from '../core/model/sandbox-provider.ts';
import { isPin } from '../host/mounts/namespace-pin.ts';

/** Keeps the network until it is detached: CNI plugins roll back by the addresses they find inside. */
export function networkPin({ runDir }: SandboxSpec): string {
  return `${runDir}/net`;
}

/**
 * The namespaces of a sandbox that has a first process on this kernel, by which the sandbox holds them. Without the process,
 * only the network is left, as long as it is pinned.
 * @param pid of the first process; undefined when it has ended.
 */
export function heldNamespaces(spec: SandboxSpec, pid: number | undefined): Placement['namespaces'] {
  const namespace = (name: string) => `/proc/${String(pid)}/ns/${name}`;
  const pinned = spec.network === 'pod' && isPin(networkPin(spec)) ? networkPin(spec) : undefined;
  if (pid === undefined) return pinned === undefined ? {} : { network: pinned };
  return {
    ...(spec.network === 'pod' && { network: pinned ?? namespace('net'), uts: namespace('uts') }),
    ...(spec.ipc === 'pod' && { ipc: namespace('ipc') }),
    ...(spec.pid === 'pod' && { pid: namespace('pid') }),
    ...(spec.userNamespace !== undefined && { user: namespace('user') }),
  };
}
