import { basename, dirname } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import type { SandboxUsage } from '../core/model/resource-usage.ts';
import type { SandboxSpec, SandboxStatus } from '../core/model/sandbox-provider.ts';
import { cgroupHierarchies } from '../host/cgroup/hierarchies.ts';
import type { CgroupHierarchy } from '../host/cgroup/hierarchies.ts';
import { cgroupDirectories } from '../host/cgroup/path.ts';
import { readAvailableMemory, readUsage } from '../host/cgroup/usage.ts';
import { readInterfaces } from '../host/network/interfaces.ts';
import { systemClock } from '../utils/time/system-clock.ts';
import { sandboxCgroups } from './sandbox-spec.ts';

/** The usage of a pod with processes on this kernel: from its own cgroup and network namespace. */
export async function sandboxUsage(spec: SandboxSpec, status: SandboxStatus): Promise<SandboxUsage> {
  const hierarchies = await cgroupHierarchies();
  // Nothing below waits: many pods at once would hold others up.
  await turn();
  const { pod } = sandboxCgroups(spec);
  const own = readUsage(hierarchies, pod, systemClock.now());
  const resources = own && { ...own, memoryAvailableBytes: leastAvailable(hierarchies, pod, own.memoryAvailableBytes) };
  const network = status.state === 'running' ? status.placement.namespaces.network : undefined;
  const read = (path: string) => readInterfaces(path, cgroupDirectories(pod, hierarchies));
  const interfaces = network === undefined ? undefined : await read(network);
  return { resources, interfaces };
}

/**
 * The memory that the limits of a pod leave it: those of its own cgroup, and of the one that the kubelet has made for it, which is
 * above that, or above the scope that it is in.
 */
function leastAvailable(
  hierarchies: readonly CgroupHierarchy[],
  pod: string,
  own: bigint | undefined,
): bigint | undefined {
  const parent = dirname(pod);
  const parents = parent.endsWith(`${basename(pod)}.scope`) ? [parent, dirname(parent)] : [parent];
  let least = own;
  for (const cgroup of parents) {
    const left = cgroup === '/' ? undefined : readAvailableMemory(hierarchies, cgroup);
    if (left !== undefined && (least === undefined || left < least)) least = left;
  }
  return least;
}
