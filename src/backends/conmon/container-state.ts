import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ContainerExit, RunnerState } from '../../core/model/container-runner.ts';
import { wasOomKilled } from './cgroup-figures.ts';
import { readExitFile } from './exits/exits.ts';
import { exists } from './hierarchies.ts';
import type { Hierarchy } from './hierarchies.ts';
import type { RunnerPaths } from './paths.ts';
import { isAlive } from '../../host/processes/process-table.ts';
import { readRecord } from './record.ts';
import type { RunnerRecord } from './record.ts';

/** Milliseconds that conmon gets between the container's end and the exit file: it syncs the log before. */
const EXIT_FILE_WAIT_MS = 2000;

/**
 * Where a container stands, from files and /proc alone, without starting a program: its exit file; else its first process,
 * known by pid and start time; "created" while the runtime's start FIFO is there.
 * A container whose conmon was killed counts as running until it ends; then its exit is undefined. One whose end conmon
 * has not reported within two seconds counts as running, for its code is still to come.
 */
export async function readState(
  paths: RunnerPaths,
  hierarchies: readonly Hierarchy[],
  id: string,
): Promise<RunnerState> {
  const record = await readRecord(paths.record(id));
  if (record === undefined) return { status: 'absent' };
  for (let waited = 0; ; waited += 20) {
    const exit = await readExit(paths, hierarchies, id, record);
    if (exit !== undefined) return { status: 'stopped', exit };
    const { pid } = record.container;
    if (await isAlive(record.container)) {
      return { status: (await exists(paths.startFifo(id))) ? 'created' : 'running', pid };
    }
    if (!(await isAlive(record.monitor))) {
      // conmon may have written the file between the two looks.
      return { status: 'stopped', exit: await readExit(paths, hierarchies, id, record) };
    }
    // Not "stopped": conmon still lives and will say the code.
    if (waited >= EXIT_FILE_WAIT_MS) return { status: 'running', pid };
    await sleep(20);
  }
}

/** How a container ended, or undefined while no exit file says it. */
export async function readExit(
  paths: RunnerPaths,
  hierarchies: readonly Hierarchy[],
  id: string,
  record: RunnerRecord,
): Promise<ContainerExit | undefined> {
  const file = await readExitFile(paths.exit(id));
  if (file === undefined) return undefined;
  return { id, ...file, oomKilled: await readOom(paths, hierarchies, id, record.cgroup) };
}

/**
 * Whether memory ran out: conmon's note, or else the kernel's counter, which conmon can miss when the container ends at
 * once. The counter goes with the cgroup, so it is noted, too.
 */
export async function readOom(
  paths: RunnerPaths,
  hierarchies: readonly Hierarchy[],
  id: string,
  cgroup: string,
): Promise<boolean> {
  if (await exists(paths.oom(id))) return true;
  if (!(await wasOomKilled(hierarchies, cgroup))) return false;
  await writeFile(paths.oom(id), '', { mode: 0o600 });
  return true;
}
