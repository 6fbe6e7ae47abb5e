import { readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { isErrno } from '../../utils/errors.ts';

/** One process as /proc/<pid>/stat shows it (proc_pid_stat(5)). */
export interface ProcessStat {
  pid: number;
  /** `R`, `S`, `D`, `Z` (ended, not waited for) … */
  state: string;
  parent: number;
  session: number;
  /** Clock ticks since boot; with the pid it identifies a process uniquely, since pids are reused. */
  startTime: number;
}

/** A process that may have exited since. */
export interface ProcessRef {
  pid: number;
  startTime: number;
}

/**
 * Parses one line of /proc/<pid>/stat; undefined for anything else. The command's name may contain blanks and brackets.
 */
export function parseProcessStat(text: string): ProcessStat | undefined {
  const match = /^(\d+) \((?:.*)\) ([A-Za-z]) (.*)$/s.exec(text.trimEnd());
  if (match === null) return undefined;
  const fields = (match[3] ?? '').split(' ');
  const [pid, parent, session, startTime] = [match[1], fields[0], fields[2], fields[18]].map(Number);
  const whole = (value: number | undefined): value is number => Number.isSafeInteger(value);
  if (!whole(pid) || !whole(parent) || !whole(session) || !whole(startTime)) return undefined;
  return { pid, state: match[2] ?? '', parent, session, startTime };
}

/**
 * The process with this pid, or undefined when there is none or it is a zombie. Read at once: the kernel answers from memory, in a
 * tenth of a thread's round trip.
 */
export function readProcess(pid: number): ProcessStat | undefined {
  try {
    return living(readFileSync(`/proc/${String(pid)}/stat`, 'utf8'));
  } catch (error) {
    return absent(error);
  }
}

/** True while this process lives; a zombie has exited, and another process may have its pid. */
export function isAlive(process: ProcessRef): boolean {
  return readProcess(process.pid)?.startTime === process.startTime;
}

/** All living processes of this PID namespace. */
export async function listProcesses(): Promise<ProcessStat[]> {
  const names = await readdir('/proc');
  // There may be thousands: not at once.
  const read = (pid: string) => readFile(`/proc/${pid}/stat`, 'utf8').then(living, absent);
  const stats = await Promise.all(names.filter((name) => /^\d+$/.test(name)).map(read));
  return stats.filter((stat) => stat !== undefined);
}

function living(text: string): ProcessStat | undefined {
  const stat = parseProcessStat(text);
  return stat === undefined || 'ZX'.includes(stat.state) ? undefined : stat;
}

function absent(error: unknown): undefined {
  if (!isErrno(error, 'ENOENT', 'ESRCH')) throw error;
}

/** kill(2) without an error for an exited process. @throws Error of the system otherwise. */
export function sendSignal(pid: number, signal: number): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!isErrno(error, 'ESRCH')) throw error;
  }
}
