import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ContainerExit, RunnerState } from '../../core/model/container-runner.ts';
import type { CgroupHierarchy } from '../../host/cgroup/hierarchies.ts';
import { findNamespaceInit } from '../../host/cgroup/namespace-init.ts';
import { cgroupProcesses } from '../../host/cgroup/processes.ts';
import { wasOomKilled } from '../../host/cgroup/usage.ts';
import { isAlive, readProcess, sendSignal } from '../../host/processes/process-table.ts';
import { isErrno } from '../../utils/errors.ts';
import { exists } from '../../utils/fs/exists.ts';
import { containerCgroups } from './container-cgroups.ts';
import { readExitFile } from './exits/exits.ts';
import { closeLog } from './monitor/log-end.ts';
import { waitForEnd } from './monitor/monitor-process.ts';
import type { RunnerPaths } from './paths.ts';
import { readDraft, readRecord } from './record.ts';

/** Maximum milliseconds between the container's end and the exit file: conmon syncs the log first. */
const EXIT_FILE_WAIT_MS = 2000;

/** Maximum milliseconds between the exit file and conmon's end; after that the log is left unchanged. */
const MONITOR_END_WAIT_MS = 500;

const SIGCONT = 18;

/** The container's processes. */
interface Look {
  /** The container's first process as last recorded. */
  pid: number;
  /** The pid of the container's first process while it lives. */
  container: () => number | undefined;
  /** Pids of conmon while it lives. */
  monitors: () => number[];
}

/**
 * The state of a container, from files and /proc alone, without starting a program: its exit file; else its first
 * process, known by pid and start time, or by the cgroup where the record is lost; "created" while the runtime's start
 * FIFO exists. A container whose conmon was killed counts as running until it ends; then its exit is undefined. One
 * whose end conmon has not reported within two seconds counts as running, because its code is pending; a stopped conmon
 * is continued.
 */
export async function readState(
  paths: RunnerPaths,
  hierarchies: readonly CgroupHierarchy[],
  id: string,
): Promise<RunnerState> {
  const look = await lookAt(paths, hierarchies, id);
  if (look === undefined) return { status: 'absent' };
  for (let waited = 0; ; waited += 20) {
    const exit = await readExit(paths, hierarchies, id);
    if (exit !== undefined) {
      await endLog(paths, id, exit);
      return { status: 'stopped', exit };
    }
    const pid = look.container();
    if (pid !== undefined) return { status: (await exists(paths.startFifo(id))) ? 'created' : 'running', pid };
    const monitors = look.monitors();
    if (monitors.length === 0) {
      // conmon may have written the file between the two reads.
      return { status: 'stopped', exit: await readExit(paths, hierarchies, id) };
    }
    for (const monitor of monitors) {
      if (readProcess(monitor)?.state === 'T') sendSignal(monitor, SIGCONT);
    }
    // Not "stopped": conmon still lives and will report the code.
    if (waited >= EXIT_FILE_WAIT_MS) return { status: 'running', pid: look.pid };
    await sleep(20);
  }
}

/** The state of a container that does not run, for an error. */
export function describeState(state: RunnerState): string {
  if (state.status === 'absent') return 'it has been removed';
  if (state.status !== 'stopped') return `it is ${state.status}`;
  if (state.exit === undefined) return 'it has ended, and its exit code is lost';
  const { exitCode, oomKilled } = state.exit;
  return `it ended with exit code ${String(exitCode)}${oomKilled ? ', out of memory' : ''}`;
}

/** Closes the log's last line once conmon, its writer, has exited, which takes milliseconds after the exit file. */
async function endLog(paths: RunnerPaths, id: string, { finishedAt }: ContainerExit): Promise<void> {
  const record = readRecord(paths.record(id));
  if (record?.logPath === undefined || !(await waitForEnd(record.monitor, MONITOR_END_WAIT_MS))) return;
  await closeLog(record.logPath, finishedAt);
}

/** The pid of a container's first process while it lives. */
export async function firstProcess(
  paths: RunnerPaths,
  hierarchies: readonly CgroupHierarchy[],
  id: string,
): Promise<number | undefined> {
  return (await lookAt(paths, hierarchies, id))?.container();
}

/** undefined for a container that does not exist, or was never created completely. */
async function lookAt(
  paths: RunnerPaths,
  hierarchies: readonly CgroupHierarchy[],
  id: string,
): Promise<Look | undefined> {
  const record = readRecord(paths.record(id));
  if (record !== undefined) {
    const { container, monitor } = record;
    return {
      pid: container.pid,
      container: () => (isAlive(container) ? container.pid : undefined),
      monitors: () => (isAlive(monitor) ? [monitor.pid] : []),
    };
  }
  if (readDraft(paths.record(id)) !== undefined || !(await exists(paths.runtimeState(id)))) return undefined;
  const cgroups = await containerCgroups(paths, hierarchies, id);
  const container = () => findNamespaceInit(cgroups.container) ?? cgroupProcesses(cgroups.container)[0];
  return { pid: container() ?? 0, container, monitors: () => cgroupProcesses(cgroups.monitor) };
}

/** How a container ended, or undefined while there is no exit file. */
async function readExit(
  paths: RunnerPaths,
  hierarchies: readonly CgroupHierarchy[],
  id: string,
): Promise<ContainerExit | undefined> {
  const file = readExitFile(paths.exit(id));
  if (file === undefined) return undefined;
  const cgroup = readDraft(paths.record(id))?.cgroup;
  return { id, ...file, oomKilled: await readOom(paths, hierarchies, id, cgroup) };
}

/**
 * Whether memory ran out: from conmon's file, or else from the kernel's counter, which conmon can miss when the
 * container ends at once. The counter disappears with the cgroup, so it is recorded, too.
 */
export async function readOom(
  paths: RunnerPaths,
  hierarchies: readonly CgroupHierarchy[],
  id: string,
  cgroup: string | undefined,
): Promise<boolean> {
  if (await exists(paths.oom(id))) return true;
  if (cgroup === undefined || !wasOomKilled(hierarchies, cgroup)) return false;
  try {
    await writeFile(paths.oom(id), '', { mode: 0o600 });
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOSPC', 'EROFS')) throw error;
  }
  return true;
}
