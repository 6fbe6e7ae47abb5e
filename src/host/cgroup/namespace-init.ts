import { readFile } from 'node:fs/promises';
import { isErrno } from '../../utils/errors.ts';
import { cgroupProcesses } from './processes.ts';

/**
 * The first process of a PID namespace that lives in one of the cgroups at `directories` or below: its id here, or
 * undefined when there is none. The cgroup lists only living processes, so a reused id cannot be confused with
 * it.
 */
export async function findNamespaceInit(directories: readonly string[]): Promise<number | undefined> {
  for (const pid of await cgroupProcesses(directories)) {
    const ids = (await statusField(pid, 'NSpid')).split(/\s+/);
    if (ids.length > 1 && ids.at(-1) === '1' && !/^[ZX]/.test(await statusField(pid, 'State'))) return pid;
  }
  return undefined;
}

async function statusField(pid: number, name: string): Promise<string> {
  try {
    const status = await readFile(`/proc/${String(pid)}/status`, 'utf8');
    return new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1] ?? '';
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ESRCH')) return '';
    throw error;
  }
}
