import { constants } from 'node:fs';
import { open, readdir, readlink } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { isErrno } from '../../utils/errors.ts';
import { call } from '../native/call.ts';
import { native } from '../native/helper.ts';

const LOOK_MS = 50;

/**
 * Commands outlive a killed server: a running `mount` or CNI plugin could create objects while the next server
 * recovers. So every command keeps a FIFO open for reading, and the next server waits until it has no reader.
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
  let left: number[] = [];
  for (let waited = 0; await hasReader(path); waited += LOOK_MS) {
    if (waited === 0) waiting();
    if (waited >= limitMs) {
      left = await holders(path);
      break;
    }
    await sleep(LOOK_MS);
  }
  await native.hold(path);
  return left;
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
