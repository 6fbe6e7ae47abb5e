import { cgroupDirectories, isCgroupPath } from '../../host/cgroup/path.ts';
import { findCgroupNamed } from '../../host/cgroup/find.ts';
import type { CgroupHierarchy } from '../../host/cgroup/hierarchies.ts';
import { monitorDirectory, monitorName, trackingHierarchy } from './monitor/monitor-cgroup.ts';
import type { RunnerPaths } from './paths.ts';
import { readDraft } from './record.ts';

/** Directories of the cgroups of one container's processes; empty lists where there is no such cgroup. */
export interface ContainerCgroups {
  /** The container's, one directory per hierarchy. */
  container: string[];
  /** conmon's and that of its child processes. */
  monitor: string[];
}

/** A container's cgroups from its record, or by their names where the record or the whole bundle is lost. */
export async function containerCgroups(
  paths: RunnerPaths,
  hierarchies: readonly CgroupHierarchy[],
  id: string,
): Promise<ContainerCgroups> {
  const record = readDraft(paths.record(id));
  if (record !== undefined) {
    const { cgroup, monitorCgroup } = record;
    return {
      container: isCgroupPath(cgroup) ? cgroupDirectories(cgroup, hierarchies) : [],
      monitor: monitorCgroup === undefined ? [] : [monitorDirectory(hierarchies, monitorCgroup, id)],
    };
  }
  const tracking = trackingHierarchy(hierarchies);
  const [cgroup, monitor] = [id, monitorName(id)].map((name) => findCgroupNamed(tracking, name));
  return {
    container: cgroup === undefined ? [] : cgroupDirectories(cgroup, hierarchies),
    monitor: monitor === undefined ? [] : [tracking.mountPoint + monitor],
  };
}
