import { readFile, rm } from 'node:fs/promises';
import { isErrno, messageOf } from '../../utils/errors.ts';
import type { Logger } from '../../core/model/logger.ts';
import { killCgroup, removeCgroup } from './cgroup-processes.ts';
import { exists, isCgroupPath } from './hierarchies.ts';
import type { Hierarchy } from './hierarchies.ts';
import { killMonitors, waitForEnd } from './monitor/monitor-process.ts';
import type { RunnerPaths } from './paths.ts';
import { isAlive, sendSignal } from '../../host/processes/process-table.ts';
import { readRecord } from './record.ts';
import { callRuntime } from './runtime-command.ts';

const SIGKILL = 9;
/** Milliseconds that conmon has to sync the log and write the exit file once the container has ended. */
const MONITOR_LIMIT_MS = 10_000;

/**
 * Ends what is left of a container: its processes, then conmon, which reports the exit first. Also for a container that
 * was created in part, whose conmon must go before it makes more.
 */
export async function endProcesses(paths: RunnerPaths, hierarchies: readonly Hierarchy[], id: string): Promise<void> {
  const record = await readRecord(paths.record(id));
  if (record === undefined) await killMonitors(id);
  const cgroup = record?.cgroup ?? (await configuredCgroup(paths, id));
  if (cgroup !== undefined) await killCgroup(hierarchies, cgroup);
  if (record === undefined) return;
  if (await isAlive(record.container)) sendSignal(record.container.pid, SIGKILL);
  if (await waitForEnd(record.monitor, MONITOR_LIMIT_MS)) return;
  sendSignal(record.monitor.pid, SIGKILL);
  await waitForEnd(record.monitor, MONITOR_LIMIT_MS);
}

/** Removes cgroup, runtime state, exit file and bundle of a container without processes; the bundle last, for it names the rest. */
export async function removeTraces(
  paths: RunnerPaths,
  hierarchies: readonly Hierarchy[],
  runtime: string,
  id: string,
  logger: Logger,
): Promise<void> {
  const cgroup = (await readRecord(paths.record(id)))?.cgroup ?? (await configuredCgroup(paths, id));
  if (await exists(paths.runtimeState(id))) {
    try {
      await callRuntime(runtime, paths.runtimeRoot, ['delete', '--force', id]);
    } catch (error) {
      // It knows nothing of a container whose creation was cut off; what it would remove is removed below.
      logger.debug('The OCI runtime could not delete a container', { id, error: messageOf(error) });
    }
  }
  if (cgroup !== undefined) await removeCgroup(hierarchies, cgroup);
  await rm(paths.runtimeState(id), { recursive: true, force: true });
  await rm(paths.exit(id), { force: true });
  await rm(paths.bundle(id), { recursive: true, force: true });
}

/** `linux.cgroupsPath` of the bundle, or undefined when there is none yet or it was written in part. */
async function configuredCgroup(paths: RunnerPaths, id: string): Promise<string | undefined> {
  try {
    const config = JSON.parse(await readFile(paths.config(id), 'utf8')) as { linux?: { cgroupsPath?: unknown } };
    const cgroup = config.linux?.cgroupsPath;
    return typeof cgroup === 'string' && isCgroupPath(cgroup) ? cgroup : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}
