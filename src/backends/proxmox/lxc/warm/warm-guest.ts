import type { Socket } from 'node:net';
import { findNamespaceInit } from '../../../../host/cgroup/namespace-init.ts';
import { cgroupHierarchies } from '../../../../host/cgroup/hierarchies.ts';
import { cgroupDirectories } from '../../../../host/cgroup/path.ts';

/** A running guest that no pod has yet. */
export interface WarmGuest {
  /** Of `warmId`. */
  id: string;
  vmid: number;
  /** Ends with the guest. */
  monitor: Socket;
}

/** Below the handler's directory, the directory of guests that were started ahead, by their ids; a pod's guest keeps its own. */
export function warmDirectory(handlerDirectory: string): string {
  return `${handlerDirectory}/.warm`;
}

/** The file in a guest's directory that names the cgroup of its pod, for the hook that ends both; see src/native/hook.c. */
export function podCgroupFile(directory: string): string {
  return `${directory}/pod-cgroup`;
}

/** A guest that was started ahead stays in the cgroup that Proxmox has for it; only its process moves to that of its pod. */
export async function warmCgroup(vmid: number): Promise<{ path: string; directory: string }> {
  return warmCgroupIn(await cgroupRoot(), vmid);
}

/** The directory of the hierarchy's root. */
export async function cgroupRoot(): Promise<string> {
  return cgroupDirectories('', await cgroupHierarchies())[0] ?? '';
}

/** {@link warmCgroup} below the directory of the hierarchy's root. */
export function warmCgroupIn(root: string, vmid: number): { path: string; directory: string } {
  const path = `/lxc/${String(vmid)}`;
  return { path, directory: `${root}${path}` };
}

/** Its first process; undefined when it has ended, or has been moved to a pod. */
export async function warmInit(vmid: number): Promise<number | undefined> {
  return findNamespaceInit([`${(await warmCgroup(vmid)).directory}/ns`]);
}
