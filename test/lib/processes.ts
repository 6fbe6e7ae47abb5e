import { execFile } from 'node:child_process';
import { readFile, readdir } from 'node:fs/promises';
import { promisify } from 'node:util';

/**
 * Ids of the processes in a cgroup and below it, in any hierarchy, as this PID namespace numbers them (proc(5)).
 * Zombies count only with `zombies`.
 * @param cgroup its path below the root of a hierarchy.
 */
export async function processesBelow(cgroup: string, { zombies = false } = {}): Promise<number[]> {
  const found = await Promise.all(
    (await processIds()).map(async (pid) => {
      const groups = await readFile(`/proc/${String(pid)}/cgroup`, 'utf8').catch(() => '');
      const isInside = groups.split('\n').some((line) => line.endsWith(`:${cgroup}`) || line.includes(`:${cgroup}/`));
      if (!isInside) return [];
      const state = await stateOf(pid);
      return state !== '' && (zombies || !'ZX'.includes(state)) ? [pid] : [];
    }),
  );
  return found.flat();
}

/** The ids in /proc, which are those of this PID namespace. */
export async function processIds(): Promise<number[]> {
  return (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
}

/** The state of a process (`R`, `S`, `Z`…, proc(5)); empty when it is gone. */
export async function stateOf(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${String(pid)}/stat`, 'utf8').catch(() => '');
  return stat.slice(stat.lastIndexOf(')') + 2)[0] ?? '';
}

/** The name of a process's program; empty when it is gone. */
export async function nameOf(pid: number): Promise<string> {
  return (await readFile(`/proc/${String(pid)}/comm`, 'utf8').catch(() => '')).trim();
}

/** The lowest oom_score_adj of a process started here (proc(5)): this process's own unless it may lower it. */
export async function lowestOomScore(): Promise<number> {
  const script = 'echo -1000 2>/dev/null >/proc/self/oom_score_adj; cat /proc/self/oom_score_adj';
  return Number((await promisify(execFile)('sh', ['-c', script])).stdout);
}
