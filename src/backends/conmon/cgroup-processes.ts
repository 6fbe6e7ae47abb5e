import { readdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CriError, StatusCode } from '../../core/model/errors.ts';
import { isErrno } from '../../utils/errors.ts';
import { findCgroup, readCgroupFile, writeCgroupFile } from './hierarchies.ts';
import type { Hierarchy } from './hierarchies.ts';
import { readProcess, sendSignal } from '../../host/processes/process-table.ts';

const SIGKILL = 9;
/** Milliseconds that killed processes have to go; uninterruptible ones (a dead NFS server) take longer. */
const KILL_LIMIT_MS = 10_000;

/**
 * Kills every process in `cgroup` and below it and returns when there is none. Nothing to do when the cgroup is not there.
 * @throws CriError INTERNAL when processes are still there after ten seconds.
 */
export async function killCgroup(hierarchies: readonly Hierarchy[], cgroup: string): Promise<void> {
  for (let waited = 0; ; waited += 20) {
    const roots = (await findCgroup(hierarchies, cgroup)).map(({ path }) => path);
    const folders = (await Promise.all(roots.map((root) => foldersBelow(root)))).flat();
    const pids = await livingIn(folders);
    if (pids.length === 0) return;
    if (waited > KILL_LIMIT_MS) {
      throw new CriError(
        StatusCode.INTERNAL,
        `processes ${pids.slice(0, 10).join(', ')} of cgroup ${cgroup} do not end although they were killed; /proc/<pid>/stack shows what they wait for`,
      );
    }
    // cgroup.kill (Linux 5.14) takes the whole tree in one step; otherwise a frozen tree cannot fork away.
    if (!(await anyWritten(roots, 'cgroup.kill', '1'))) {
      await freeze(roots, true);
      for (const pid of await livingIn(folders)) sendSignal(pid, SIGKILL);
    }
    await freeze(folders, false); // also what froze itself: a frozen process of v1 ends only when thawed
    await sleep(20);
  }
}

/** Removes `cgroup` and what is below it from every hierarchy. Nothing may run in it. No error when it is not there. */
export async function removeCgroup(hierarchies: readonly Hierarchy[], cgroup: string): Promise<void> {
  for (const { path } of await findCgroup(hierarchies, cgroup)) await removeFolder(path);
}

async function removeFolder(path: string): Promise<void> {
  for (let waited = 0; ; waited += 20) {
    try {
      for (const child of await subfolders(path)) await removeFolder(child);
      await rmdir(path);
      return;
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return;
      // The last process may have ended, yet not have left its cgroup.
      if (!isErrno(error, 'EBUSY') || waited > 5000) throw error;
      await sleep(20);
    }
  }
}

async function livingIn(folders: readonly string[]): Promise<number[]> {
  const lists = await Promise.all(folders.map((folder) => readCgroupFile(join(folder, 'cgroup.procs'))));
  const pids = new Set(lists.flatMap((list) => (list ?? '').split('\n').filter(Boolean).map(Number)));
  pids.delete(0); // a process outside this PID namespace
  pids.delete(process.pid);
  const living = await Promise.all([...pids].map((pid) => readProcess(pid)));
  return living.flatMap((stat) => (stat === undefined ? [] : [stat.pid]));
}

async function foldersBelow(folder: string): Promise<string[]> {
  const below = await Promise.all((await subfolders(folder)).map((child) => foldersBelow(child)));
  return [folder, ...below.flat()];
}

async function subfolders(path: string): Promise<string[]> {
  try {
    const entries = await readdir(path, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => join(path, entry.name));
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

async function freeze(folders: readonly string[], frozen: boolean): Promise<void> {
  await anyWritten(folders, 'freezer.state', frozen ? 'FROZEN' : 'THAWED');
  await anyWritten(folders, 'cgroup.freeze', frozen ? '1' : '0');
}

async function anyWritten(folders: readonly string[], file: string, text: string): Promise<boolean> {
  const written = await Promise.all(folders.map((folder) => writeCgroupFile(join(folder, file), text)));
  return written.includes(true);
}
