import { mkdir } from 'node:fs/promises';
import { forEach } from '../../../utils/async/for-each.ts';
import type { CgroupHierarchy } from '../../../host/cgroup/hierarchies.ts';

/**
 * Name of the cgroup of one container's monitor and of all processes that it starts before the container; below its
 * sandbox's monitors.
 */
export function monitorName(id: string): string {
  return `conmon-${id}`;
}

/**
 * The one hierarchy in which a container's monitor has its own cgroup: enough to find its processes, wherever they are
 * in the others. v1's freezer, so that forking processes can be killed; every container is in it as well.
 */
export function trackingHierarchy(hierarchies: readonly CgroupHierarchy[]): CgroupHierarchy {
  const freezer = hierarchies.find(({ controllers }) => controllers.includes('freezer'));
  const found = freezer ?? hierarchies.find(({ version }) => version === 2) ?? hierarchies[0];
  if (found === undefined) throw new Error('no cgroup hierarchy is mounted below /sys/fs/cgroup');
  return found;
}

/** The directory of a container's own monitor cgroup. */
export function monitorDirectory(hierarchies: readonly CgroupHierarchy[], monitorCgroup: string, id: string): string {
  return `${trackingHierarchy(hierarchies).mountPoint}${monitorCgroup}/${monitorName(id)}`;
}

/**
 * Creates the monitors' cgroup, and the container's own below it in one hierarchy, and returns the `cgroup.procs` files
 * to enter them: the container's own first, so that every process of it can be found. v1's cpuset is omitted: a new one
 * accepts no process, and the CPUs of a monitor matter little.
 */
export async function makeMonitorCgroup(
  hierarchies: readonly CgroupHierarchy[],
  monitorCgroup: string,
  id: string,
): Promise<string[]> {
  const own = monitorDirectory(hierarchies, monitorCgroup, id);
  const others = hierarchies.filter(
    (hierarchy) => hierarchy !== trackingHierarchy(hierarchies) && !hierarchy.controllers.includes('cpuset'),
  );
  const directories = [own, ...others.map(({ mountPoint }) => mountPoint + monitorCgroup)];
  await forEach(directories, directories.length, async (path) => {
    await mkdir(path, { recursive: true });
  });
  return directories.map((path) => `${path}/cgroup.procs`);
}
