import { existsSync, readdirSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { unavailable } from '../../core/model/errors.ts';
import { isErrno } from '../../utils/errors.ts';
import { readProcess, sendSignal } from '../processes/process-table.ts';
import { pathOf, readCgroupFile, writeCgroupFile } from './files.ts';
import { setFrozen } from './freezer.ts';

const SIGKILL = 9;

/** Links of a directory without others in it, on cgroupfs as on most filesystems: a list of its many files is not needed. */
const LEAF_LINKS = 2;

/** Directories of a cgroup and of those below it as Latin-1 strings, the given one first; none when it does not exist. */
export function cgroupTree(directory: string): string[] {
  const found: string[] = [];
  const pending = [directory];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    try {
      const links = statSync(pathOf(next), { throwIfNoEntry: false })?.nlink;
      if (links === undefined) continue;
      if (links === LEAF_LINKS) {
        found.push(next);
        continue;
      }
      for (const entry of readdirSync(pathOf(next), { withFileTypes: true, encoding: 'latin1' })) {
        if (entry.isDirectory()) pending.push(`${next}/${entry.name}`);
      }
      found.push(next);
    } catch (error) {
      if (!isErrno(error, 'ENOENT', 'ENODEV', 'ENAMETOOLONG')) throw error;
    }
  }
  return found;
}

/** PATH_MAX, minus a name of a cgroup and one of a file in it. */
const LONGEST_PATH = 4096 - 2 * 256;

/** Whether a tree of {@link cgroupTree} may have cgroups that it lacks, since their paths are too long. */
export function hasTooLongPaths(tree: readonly string[]): boolean {
  return tree.some((directory) => directory.length > LONGEST_PATH);
}

/**
 * Ids of the processes in the cgroups at `directories` and below, each once. Processes of other PID namespaces are not
 * seen, and some kernels list one that has ended and waits to be reaped.
 */
export function cgroupProcesses(directories: readonly string[]): number[] {
  const lists = directories.flatMap(cgroupTree).map((directory) => readCgroupFile(`${directory}/cgroup.procs`) ?? '');
  const pids = lists.flatMap((text) => text.split('\n').map(Number));
  return [...new Set(pids)].filter((pid) => pid > 0);
}

/**
 * Kills every process in the cgroups at `directories` (one cgroup's directory in each hierarchy) and below, frozen ones as
 * well, and returns when none is left. No error when there was none.
 * @throws CriError UNAVAILABLE when some are left after `timeoutMs` (uninterruptible sleep); the call may be repeated.
 */
export async function killCgroup(directories: readonly string[], timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  // As a rule a process is in the same cgroup of every hierarchy, so that one of them tells when all have ended.
  const tracked = directories.length > 1 ? directories.find(canFreeze) : undefined;
  let looked = tracked === undefined ? directories : [tracked];
  for (let round = 0; ; round += 1) {
    let pids = livingIn(looked);
    if (pids.length === 0 && looked !== directories) {
      looked = directories;
      pids = livingIn(looked);
    }
    if (pids.length === 0 && (round > 0 || !hasTooLongPaths(directories.flatMap(cgroupTree)))) return;
    if (performance.now() > deadline) {
      throw unavailable(
        `processes ${pids.slice(0, 10).join(', ')} do not exit after SIGKILL; /proc/<pid>/stack shows the system call that blocks them`,
      );
    }
    // cgroup.kill (Linux 5.14) kills the whole tree in one step.
    const switches = directories.map((directory) => `${directory}/cgroup.kill`).filter((file) => existsSync(file));
    const killed = await Promise.all(switches.map((file) => writeCgroupFile(file, '1')));
    if (!killed.includes(true)) await killEach(looked, pids, round);
    await sleep(Math.min(2 ** round, 20));
  }
}

/** Whether a cgroup of v1 is that of the freezer, in which every container and monitor is. */
function canFreeze(directory: string): boolean {
  return existsSync(`${directory}/freezer.state`);
}

/** One by one, from the second round on with the freezer against forking processes. */
async function killEach(directories: readonly string[], pids: readonly number[], round: number): Promise<void> {
  if (round > 0) await setFrozen(directories, true);
  for (const pid of round > 0 ? livingIn(directories) : pids) sendSignal(pid, SIGKILL);
  // Also in the first round, and below: a frozen process of v1 ends only when thawed, whoever froze it.
  await setFrozen(directories.flatMap(cgroupTree), false);
}

function livingIn(directories: readonly string[]): number[] {
  const pids = cgroupProcesses(directories).filter((pid) => pid !== process.pid);
  return pids.filter((pid) => readProcess(pid) !== undefined);
}
