import { closeSync, constants, openSync, unlinkSync, writeSync } from 'node:fs';

/**
 * Starts a created container of crun, whose first process waits for a byte from the FIFO at `path`: what crun's `start` does, apart
 * from `poststart` hooks, without a process.
 * @returns whether it was started; otherwise crun's `start` says why it cannot be.
 */
export function startByFifo(path: string): boolean {
  let fifo: number;
  try {
    // Fails when nobody waits any more.
    fifo = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return false;
  }
  try {
    // First: without it the container counts as running.
    unlinkSync(path);
    writeSync(fifo, '0');
    return true;
  } catch {
    return false;
  } finally {
    closeSync(fifo);
  }
}
