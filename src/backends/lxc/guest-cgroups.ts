import type { SandboxSpec } from '../../core/model/sandbox-provider.ts';
import { cgroupHierarchies } from '../../host/cgroup/hierarchies.ts';
import { cgroupDirectories } from '../../host/cgroup/path.ts';
import { sandboxCgroups } from '../sandbox-spec.ts';

/** Where a guest's processes may be: cgroup paths for liblxc, and their folders in every hierarchy. */
export interface GuestCgroups {
  /** The pod's own cgroup; its containers are below. */
  pod: string;
  /** liblxc's and the containers' monitors. */
  monitor: string;
  /** Where liblxc's monitor puts itself at its end, so that it can remove the one it was in. */
  pivot: string;
  podDirectories: string[];
  monitorDirectories: string[];
  pivotDirectories: string[];
}

/** The name, below the pod's cgroup, of the guest's first process's own: a v2 cgroup with children holds no process. */
export const innerCgroup = 'guest';

/**
 * The cgroups of a sandbox. liblxc takes paths below the cgroup of process 1, which is not the root in a hierarchy where
 * something put process 1 elsewhere; folders there are listed as well.
 */
export async function guestCgroups(spec: SandboxSpec): Promise<GuestCgroups> {
  const hierarchies = await cgroupHierarchies();
  const displaced = hierarchies.filter(({ initPath }) => initPath !== '');
  const directories = (path: string) => [
    ...cgroupDirectories(path, hierarchies),
    ...displaced.map(({ mountPoint, initPath }) => mountPoint + initPath + path),
  ];
  const { pod, monitor } = sandboxCgroups(spec);
  const pivot = `${pod}.pivot`;
  return {
    pod,
    monitor,
    pivot,
    podDirectories: directories(pod),
    monitorDirectories: directories(monitor),
    pivotDirectories: directories(pivot),
  };
}
