import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, readdir, readlink, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isErrno } from '../../utils/errors.ts';
import { call } from '../native/call.ts';
import { native } from '../native/helper.ts';
import { sendSignal } from './process-table.ts';

const LOOK_MS = 50;
const SIGKILL = 9;
/** Milliseconds for a killed process to end. */
const KILLED_MS = 10_000;

/**
 * Commands outlive a killed server: a running `mount` or OCI runtime could create objects while the next server
 * recovers. So commands keep a FIFO open for reading, unless `holds` of `run` says otherwise, and the next server waits
 * until it has no reader.
 * Waits for the commands of an earlier server on the same FIFO, then lets this process's commands keep it open, through
 * the native helper.
 * @param path of the FIFO, created when missing.
 * @param waiting called once when there is something to wait for.
 * @returns pids of those that still have it open after `limitMs`.
 */
export async function succeedHelpers(path: string, limitMs: number, waiting: () => void): Promise<number[]> {
  await call([{ do: 'mkfifo', paths: [path], mode: 0o600 }]).catch(async (error: unknown) => {
    if (!(await isFifo(path))) throw error;
  });
  const left = await readersAfter(path, limitMs, waiting);
  await native.hold(path);
  return left;
}

/** Commands on which only some calls of the next server depend, so that it serves while they run. */
export interface SeparateCommands {
  /** The FIFO that this server's commands keep open (`holds` of `run`). */
  fifo: string;
  /** Resolves when no command of an earlier server runs any more; never rejects. */
  earlierEnded: Promise<void>;
}

/**
 * Waits in the background for the commands of earlier servers that keep a FIFO in `directory` open, and kills those that
 * still run after `limitMs`: nothing else ends a command whose server is gone.
 * @param directory created when missing; each server has a FIFO of its own in it.
 * @param killed called with the pids that are killed.
 */
export async function separateCommands(
  directory: string,
  limitMs: number,
  killed: (pids: readonly number[]) => void,
): Promise<SeparateCommands> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const earlier = await readdir(directory);
  const fifo = join(directory, randomUUID());
  await call([{ do: 'mkfifo', paths: [fifo], mode: 0o600 }]);
  const ends = earlier.map(async (name) => {
    const path = join(directory, name);
    const left = await readersAfter(path, limitMs, () => undefined);
    if (left.length > 0) killed(left);
    for (const pid of left) sendSignal(pid, SIGKILL);
    await readersAfter(path, KILLED_MS, () => undefined);
    await rm(path, { force: true });
  });
  return { fifo, earlierEnded: Promise.allSettled(ends).then(() => undefined) };
}

/** Waits until a FIFO has no reader. Returns the pids of those that have it open after `limitMs`. */
async function readersAfter(path: string, limitMs: number, waiting: () => void): Promise<number[]> {
  for (let waited = 0; await hasReader(path); waited += LOOK_MS) {
    if (waited === 0) waiting();
    if (waited >= limitMs) return holders(path);
    await sleep(LOOK_MS);
  }
  return [];
}

async function isFifo(path: string): Promise<boolean> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    return (await file.stat()).isFIFO();
  } finally {
    await file.close();
  }
}

/** Opening a FIFO for writing with O_NONBLOCK fails without a reader (fifo(7)). */
async function hasReader(path: string): Promise<boolean> {
  try {
    await (await open(path, constants.O_WRONLY | constants.O_NONBLOCK)).close();
    return true;
  } catch (error) {
    if (isErrno(error, 'ENXIO')) return false;
    throw error;
  }
}

async function holders(path: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const holds = await Promise.all(
    pids.map(async (pid) => {
      const names = await readdir(`/proc/${pid}/fd`).catch(() => []);
      const links = await Promise.all(names.map((name) => readlink(`/proc/${pid}/fd/${name}`).catch(() => '')));
      return links.includes(path);
    }),
  );
  return pids.filter((_, index) => holds[index]).map(Number);
}
