import { readdir, readFile, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { unavailable } from '../../core/model/errors.ts';
import { isErrno } from '../../utils/errors.ts';

/** Folders of cgroups, the given one first; none when it does not exist. */
export async function cgroupTree(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT', 'ENODEV')) return undefined;
    throw error;
  });
  if (entries === undefined) return [];
  const children = entries.filter((entry) => entry.isDirectory()).map((entry) => `${directory}/${entry.name}`);
  const below = await Promise.all(children.map(cgroupTree));
  return [directory, ...below.flat()];
}

/** Ids of the processes in the cgroups at `directories` and below, each once. Processes of other PID namespaces are not seen. */
export async function cgroupProcesses(directories: readonly string[]): Promise<number[]> {
  const tree = (await Promise.all(directories.map(cgroupTree))).flat();
  const texts = await Promise.all(
    tree.map((directory) =>
      readFile(`${directory}/cgroup.procs`, 'utf8').catch((error: unknown) => {
        // ENODEV and ENOENT: removed meanwhile; EOPNOTSUPP: a threaded cgroup, whose processes its parent lists.
        if (isErrno(error, 'ENOENT', 'ENODEV', 'EOPNOTSUPP', 'ENOTSUP')) return '';
        throw error;
      }),
    ),
  );
  const pids = texts.flatMap((text) => text.split('\n').map(Number));
  return [...new Set(pids)].filter((pid) => pid > 0);
}

/**
 * Kills every process in the cgroups at `directories` (one cgroup's folder in each hierarchy) and below, and returns when
 * none is left. No error when there was none.
 * @throws CriError UNAVAILABLE when some are left after `timeoutMs` (uninterruptible sleep); the call may be repeated.
 */
export async function killCgroup(directories: readonly string[], timeoutMs = 10_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (let round = 0; ; round += 1) {
    const pids = await cgroupProcesses(directories);
    if (pids.length === 0) return;
    if (Date.now() > deadline) {
      throw unavailable(
        `processes ${pids.slice(0, 10).join(', ')} do not end though they were killed; trying again may help`,
      );
    }
    const killed = await Promise.all(directories.map((directory) => attempt(`${directory}/cgroup.kill`, '1')));
    if (!killed.includes(true)) await killEach(directories, pids, round);
    await sleep(Math.min(2 ** round, 50));
  }
}

/** cgroup v1 has no cgroup.kill: signals one by one, from the second round on with the freezer against those who fork. */
async function killEach(directories: readonly string[], pids: readonly number[], round: number): Promise<void> {
  if (round > 0) await setFreezer(directories, 'FROZEN');
  const targets = round > 0 ? await cgroupProcesses(directories) : pids;
  for (const pid of targets) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if (!isErrno(error, 'ESRCH')) throw error;
    }
  }
  // Also in the first round: someone else may have frozen it, and a frozen process does not die.
  await setFreezer(directories, 'THAWED');
}

async function setFreezer(directories: readonly string[], state: 'FROZEN' | 'THAWED'): Promise<void> {
  for (const top of directories) {
    if (!(await attempt(`${top}/freezer.state`, state)) || state === 'FROZEN') continue;
    for (const directory of await cgroupTree(top)) await attempt(`${directory}/freezer.state`, state);
  }
}

/** Writes to a control file; false when this cgroup has none. */
async function attempt(path: string, value: string): Promise<boolean> {
  try {
    await writeFile(path, value, { flag: 'r+' });
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENODEV', 'EOPNOTSUPP', 'ENOTSUP', 'EACCES')) return false;
    throw error;
  }
}
