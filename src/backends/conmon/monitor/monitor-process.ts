import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { isErrno } from '../../../utils/errors.ts';
import { isAlive } from '../../../host/processes/process-table.ts';
import type { ProcessRef } from '../../../host/processes/process-table.ts';

/** Waits until a process has ended, at most `limitMs`. True when it has. */
export async function waitForEnd(process: ProcessRef, limitMs: number): Promise<boolean> {
  for (let waited = 0; isAlive(process); waited += 5) {
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
