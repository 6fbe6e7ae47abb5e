import type { ResourceUsage } from '../core/model/resource-usage.ts';
import type { SandboxSpec } from '../core/model/sandbox-provider.ts';
import { cgroupHierarchies } from '../host/cgroup/hierarchies.ts';
import { readUsage } from '../host/cgroup/usage.ts';
import { systemClock } from '../utils/time/system-clock.ts';
import { sandboxCgroups } from './sandbox-spec.ts';

/** The usage of a pod with processes on this kernel, from its own cgroup; undefined when that is gone. */
export async function sandboxUsage(spec: SandboxSpec): Promise<ResourceUsage | undefined> {
  return readUsage(await cgroupHierarchies(), sandboxCgroups(spec).pod, systemClock.now());
}
