import { readFile } from 'node:fs/promises';
import { unavailable } from '../../../core/model/errors.ts';
import type { SandboxSpec } from '../../../core/model/sandbox-provider.ts';
import { cgroupHierarchies, layoutOf } from '../../../host/cgroup/hierarchies.ts';
import { cgroupDirectories, checkCgroupPath } from '../../../host/cgroup/path.ts';
import { sandboxCgroups } from '../../sandbox-spec.ts';

/** The cgroups of a pod's guest: paths below the root of the hierarchy, and their directories. */
export interface GuestCgroups {
  /** The guest's own, which has Proxmox's limits; the pod's containers are below. */
  pod: string;
  podDirectory: string;
  /** Of the guest's init. */
  initDirectory: string;
  monitor: string;
  monitorDirectory: string;
  /** Of the kubelet's pod. */
  parentDirectory: string;
}

/** @throws CriError UNAVAILABLE where cgroup v2 is not alone, as Proxmox VE has it. */
export async function guestCgroups(spec: SandboxSpec): Promise<GuestCgroups> {
  const hierarchies = await cgroupHierarchies();
  if (layoutOf(hierarchies) !== 'unified') {
    throw unavailable(
      'guests of Proxmox VE need cgroup v2 alone; remove systemd.unified_cgroup_hierarchy from the kernel command line',
    );
  }
  const directory = (path: string) => cgroupDirectories(path, hierarchies)[0] ?? '';
  const { pod, monitor } = sandboxCgroups(spec);
  const podDirectory = directory(pod);
  return {
    pod,
    podDirectory,
    initDirectory: `${podDirectory}/ns`,
    monitor,
    monitorDirectory: directory(monitor),
    parentDirectory: directory(checkCgroupPath(spec.cgroupParent, 'linux.cgroup_parent')),
  };
}

/** The bytes of memory that a cgroup may have; undefined without a limit. */
export async function memoryLimit(directory: string): Promise<number | undefined> {
  // The root has no such file.
  const text = await readFile(`${directory}/memory.max`, 'utf8').catch(() => 'max');
  const bytes = Number(text);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
