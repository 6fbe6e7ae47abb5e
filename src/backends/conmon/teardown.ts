import { rm } from 'node:fs/promises';
import type { CgroupHierarchy } from '../../host/cgroup/hierarchies.ts';
import { killCgroup } from '../../host/cgroup/processes.ts';
import { destroyCgroup } from '../../host/cgroup/remove.ts';
import { isAlive, sendSignal } from '../../host/processes/process-table.ts';
import { messageOf } from '../../utils/errors.ts';
import { exists } from '../../utils/fs/exists.ts';
import type { Logger } from '../../core/model/logger.ts';
import { containerCgroups } from './container-cgroups.ts';
import { waitForEnd } from './monitor/monitor-process.ts';
import type { RunnerPaths } from './paths.ts';
import { readRecord } from './record.ts';
import { callRuntime } from './runtime-command.ts';

const SIGKILL = 9;
const SIGCONT = 18;
/** Maximum milliseconds for conmon to sync the log and write the exit file once the container has ended. */
const MONITOR_LIMIT_MS = 10_000;

/**
 * Ends the remaining processes of a container, then conmon, which reports the exit first. For a partly created
 * container the monitor's cgroup is killed first: everything started to create it is in there, or can start nothing.
 */
export async function endProcesses(
  paths: RunnerPaths,
  hierarchies: readonly CgroupHierarchy[],
  id: string,
): Promise<void> {
  const record = readRecord(paths.record(id));
  const cgroups = await containerCgroups(paths, hierarchies, id);
  if (record !== undefined) {
    await killCgroup(cgroups.container);
    if (isAlive(record.container)) sendSignal(record.container.pid, SIGKILL);
    if (isAlive(record.monitor)) sendSignal(record.monitor.pid, SIGCONT);
    if (!(await waitForEnd(record.monitor, MONITOR_LIMIT_MS))) {
      sendSignal(record.monitor.pid, SIGKILL);
      await waitForEnd(record.monitor, MONITOR_LIMIT_MS);
    }
  }
  await destroyCgroup(cgroups.monitor);
  await killCgroup(cgroups.container);
}

/**
 * Removes cgroup, runtime state, exit file and bundle of a container without processes; the bundle last, since it names
 * the rest.
 */
export async function removeTraces(
  paths: RunnerPaths,
  hierarchies: readonly CgroupHierarchy[],
  runtime: string,
  id: string,
  logger: Logger,
): Promise<void> {
  const cgroups = await containerCgroups(paths, hierarchies, id);
  // Without a hook, crun removes only what is removed below.
  const isNeeded = readRecord(paths.record(id))?.hooks?.includes('poststop') !== false;
  if (isNeeded && (await exists(paths.runtimeState(id)))) {
    try {
      await callRuntime(runtime, paths.runtimeRoot, ['delete', '--force', id]);
    } catch (error) {
      // The runtime does not know a container whose creation was interrupted; what it would remove is removed below.
      logger.debug('OCI runtime delete failed', { containerId: id, error: messageOf(error) });
    }
  }
  await destroyCgroup(cgroups.container);
  await rm(paths.runtimeState(id), { recursive: true, force: true });
  await rm(paths.exit(id), { force: true });
  await rm(paths.bundle(id), { recursive: true, force: true });
}
