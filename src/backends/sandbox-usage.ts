import { setImmediate as turn } from 'node:timers/promises';
import type { SandboxUsage } from '../core/model/resource-usage.ts';
import type { SandboxSpec, SandboxStatus } from '../core/model/sandbox-provider.ts';
import { cgroupHierarchies } from '../host/cgroup/hierarchies.ts';
import { cgroupDirectories } from '../host/cgroup/path.ts';
import { readUsage } from '../host/cgroup/usage.ts';
import { readInterfaces } from '../host/network/interfaces.ts';
import { systemClock } from '../utils/time/system-clock.ts';
import { sandboxCgroups } from './sandbox-spec.ts';

/** The usage of a pod with processes on this kernel: from its own cgroup and network namespace. */
export async function sandboxUsage(spec: SandboxSpec, status: SandboxStatus): Promise<SandboxUsage> {
  const hierarchies = await cgroupHierarchies();
  // Nothing below waits: many pods at once would hold others up.
  await turn();
  const { pod } = sandboxCgroups(spec);
  const resources = readUsage(hierarchies, pod, systemClock.now());
  const network = status.state === 'running' ? status.placement.namespaces.network : undefined;
  const read = (path: string) => readInterfaces(path, cgroupDirectories(pod, hierarchies));
  const interfaces = network === undefined ? undefined : await read(network);
  return { resources, interfaces };
}
