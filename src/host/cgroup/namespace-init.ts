import { readFileSync } from 'node:fs';
import { isErrno } from '../../utils/errors.ts';
import { cgroupProcesses } from './processes.ts';

/**
 * The first process of a PID namespace that lives in one of the cgroups at `directories` or below: its id here, or
 * undefined when there is none. The cgroup lists only living processes, so a reused id cannot be confused with
 * it.
 */
export function findNamespaceInit(directories: readonly string[]): number | undefined {
  const seen = new Set<number>();
  // It is in the same cgroup of every hierarchy, so that the first one shows it as a rule.
  for (const directory of directories) {
    for (const pid of cgroupProcesses([directory])) {
      if (seen.has(pid)) continue;
      seen.add(pid);
      const status = statusOf(pid);
      const ids = field(status, 'NSpid').split(/\s+/);
      if (ids.length > 1 && ids.at(-1) === '1' && !/^[ZX]/.test(field(status, 'State'))) return pid;
    }
  }
  return undefined;
}

function field(status: string, name: string): string {
  return new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1] ?? '';
}

function statusOf(pid: number): string {
  try {
    return readFileSync(`/proc/${String(pid)}/status`, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ESRCH')) return '';
    throw error;
  }
}
