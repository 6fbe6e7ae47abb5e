import { basename } from 'node:path';
import type { CgroupHierarchy } from './hierarchies.ts';
import { cgroupTree } from './processes.ts';

/**
 * The path below the hierarchy's root of a cgroup that is called `name`, wherever it lies; undefined when there is none.
 * Searches the whole hierarchy, for cgroups whose path is unknown.
 */
export function findCgroupNamed({ mountPoint }: CgroupHierarchy, name: string): string | undefined {
  return cgroupTree(mountPoint)
    .find((directory) => basename(directory) === name)
    ?.slice(mountPoint.length);
}
