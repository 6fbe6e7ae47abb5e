import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { isErrno } from '../../../utils/errors.ts';
import { isAlive, listProcesses, readArguments, sendSignal } from '../../../host/processes/process-table.ts';
import type { ProcessRef } from '../../../host/processes/process-table.ts';

const SIGKILL = 9;

/**
 * Kills every conmon of a container, also one that had no time to write its pid file, and returns when they are gone.
 * conmon forks and ends its first process while it starts: one look at the process table can miss both, two cannot.
 */
export async function killMonitors(id: string): Promise<void> {
  for (let looksWithout = 0; looksWithout < 2; looksWithout += 1) {
    const found = await Promise.all((await listProcesses()).map(({ pid }) => isMonitorOf(pid, id)));
    for (const pid of found.filter((pid) => pid !== undefined)) {
      sendSignal(pid, SIGKILL);
      looksWithout = -1;
    }
    await sleep(10);
  }
}

/** Waits until a process has ended, at most `limitMs`. True when it has. */
export async function waitForEnd(process: ProcessRef, limitMs: number): Promise<boolean> {
  for (let waited = 0; await isAlive(process); waited += 5) {
    if (waited >= limitMs) return false;
    await sleep(5);
  }
  return true;
}

/** The number in a pid file, or undefined when there is none. */
export async function readPid(path: string): Promise<number | undefined> {
  try {
    const pid = Number((await readFile(path, 'utf8')).trim());
    return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

/** The pid when it is conmon's for this container: `--cid ID` stands in nobody else's arguments. */
async function isMonitorOf(pid: number, id: string): Promise<number | undefined> {
  const args = await readArguments(pid);
  const at = args.indexOf('--cid');
  return at >= 0 && args[at + 1] === id ? pid : undefined;
}
