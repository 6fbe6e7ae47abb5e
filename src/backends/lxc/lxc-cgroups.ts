import { writeFile } from 'node:fs/promises';
import type { SandboxSpec } from '../../core/model/sandbox-provider.ts';
import { createCgroup } from '../../host/cgroup/create.ts';
import { cgroupHierarchies } from '../../host/cgroup/hierarchies.ts';
import type { CgroupHierarchy } from '../../host/cgroup/hierarchies.ts';
import { cgroupDirectories } from '../../host/cgroup/path.ts';
import { sandboxCgroups } from '../sandbox-spec.ts';

/** The possible cgroups of a pod's LXC container: cgroup paths for liblxc, and their directories in every hierarchy. */
export interface LxcCgroups {
  /** The pod's own cgroup; its containers are below. */
  pod: string;
  /** The containers' monitors. */
  monitor: string;
  /** liblxc's own: its monitor's cgroup is below. */
  liblxc: string;
  podDirectories: string[];
  monitorDirectories: string[];
  liblxcDirectories: string[];
}

/** The name, below the pod's cgroup, of its pause process's own: a v2 cgroup with children cannot contain processes. */
export const innerCgroup = 'guest';

/**
 * The cgroups of a sandbox. liblxc takes paths below the cgroup of process 1, which is not the root in a hierarchy where
 * something put process 1 elsewhere; directories there are listed as well.
 */
export async function lxcCgroups(spec: SandboxSpec): Promise<LxcCgroups> {
  const hierarchies = await cgroupHierarchies();
  const directories = (path: string) => cgroupDirectories(path, [...hierarchies, ...displaced(hierarchies)]);
  const { pod, monitor } = sandboxCgroups(spec);
  const liblxc = `${pod}.lxc`;
  return {
    pod,
    monitor,
    liblxc,
    podDirectories: directories(pod),
    monitorDirectories: directories(monitor),
    liblxcDirectories: directories(liblxc),
  };
}

/** The cgroup of liblxc's monitor while it starts. It creates and enters one beside it, then. */
export function startCgroup({ liblxc }: LxcCgroups): string {
  return `${liblxc}/start`;
}

/**
 * Creates the parents of the cgroups that liblxc creates. On cgroup v1 their cpusets are filled, and their children
 * inherit them: liblxc leaves a cpuset empty where the parent, as the kubelet creates it, passes on none
 * (cgroup.clone_children, cpuset(7)), and no process can enter it.
 */
export async function prepareLxcCgroups(cgroups: LxcCgroups): Promise<void> {
  const { pod, monitor, liblxc } = cgroups;
  const hierarchies = await cgroupHierarchies();
  await createCgroup(monitor);
  for (const path of [pod, liblxc]) {
    await createCgroup(path);
    await createCgroup(path, displaced(hierarchies));
    const cpusets = [...hierarchies, ...displaced(hierarchies)].filter(({ controllers }) =>
      controllers.includes('cpuset'),
    );
    for (const directory of cgroupDirectories(path, cpusets))
      await writeFile(`${directory}/cgroup.clone_children`, '1');
  }
  await createCgroup(startCgroup(cgroups));
}

/** The hierarchies as liblxc sees them where process 1 is not at the root. */
function displaced(hierarchies: readonly CgroupHierarchy[]): CgroupHierarchy[] {
  return hierarchies
    .filter(({ initPath }) => initPath !== '')
    .map((hierarchy) => ({ ...hierarchy, mountPoint: hierarchy.mountPoint + hierarchy.initPath }));
}
