import { opendirSync, readlinkSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setImmediate as turn } from 'node:timers/promises';
import type { ProcessDetails } from '../../core/model/usage-details.ts';
import { isErrno } from '../../utils/errors.ts';

/** Descriptors that are looked at before others have their turn: about a millisecond. */
const AT_ONCE = 256;

/**
 * Counts what processes have open, in pieces, so that others are not held up; those that have ended meanwhile have nothing.
 * @param first the process whose limit counts.
 */
export async function countOpenFiles(pids: readonly number[], first: number | undefined): Promise<ProcessDetails> {
  let [descriptors, sockets] = [0, 0];
  for (const pid of pids) {
    const opened = await openFilesOf(pid);
    descriptors += opened.descriptors;
    sockets += opened.sockets;
  }
  return {
    processes: BigInt(pids.length),
    descriptors: BigInt(descriptors),
    sockets: BigInt(sockets),
    openFilesLimit: first === undefined ? undefined : await openFilesLimit(first),
  };
}

async function openFilesOf(pid: number): Promise<{ descriptors: number; sockets: number }> {
  const path = `/proc/${String(pid)}/fd`;
  let [descriptors, sockets] = [0, 0];
  await turn();
  try {
    const directory = opendirSync(path, { bufferSize: AT_ONCE });
    try {
      for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
        descriptors += 1;
        if (isSocket(`${path}/${entry.name}`)) sockets += 1;
        if (descriptors % AT_ONCE === 0) await turn();
      }
    } finally {
      directory.closeSync();
    }
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ESRCH')) throw error;
  }
  return { descriptors, sockets };
}

function isSocket(descriptor: string): boolean {
  try {
    return readlinkSync(descriptor).startsWith('socket:[');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ESRCH')) return false;
    throw error;
  }
}

async function openFilesLimit(pid: number): Promise<bigint | undefined> {
  try {
    return parseOpenFilesLimit(await readFile(`/proc/${String(pid)}/limits`, 'utf8'));
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ESRCH')) return undefined;
    throw error;
  }
}

/** The soft limit of open files in /proc/PID/limits (proc_pid_limits(5)); undefined when it is unlimited. */
export function parseOpenFilesLimit(text: string): bigint | undefined {
  const digits = /^Max open files +(\d{1,20}) /m.exec(text)?.[1];
  return digits === undefined ? undefined : BigInt(digits);
}
