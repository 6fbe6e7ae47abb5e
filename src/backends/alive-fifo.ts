import { constants, open } from 'node:fs';
import { Socket } from 'node:net';
import { promisify } from 'node:util';
import { isErrno } from '../utils/errors.ts';

/** Shell commands that make the FIFO `$1`, open for reading and writing as descriptor 9, without waiting for the other end. */
export const makeAliveFifo = 'rm -f -- "$1" && mkfifo -m 600 -- "$1" && exec 9<>"$1" && shift';

/**
 * Reads a FIFO that processes hold open while they live: a stream of what they wrote, which ends with the last of them.
 * Undefined when there is no such file.
 * @throws the system's error when it cannot be opened.
 */
export async function readAliveFifo(path: string): Promise<Socket | undefined> {
  try {
    // A descriptor and not a FileHandle, which would close it when collected.
    const fd = await promisify(open)(path, constants.O_RDONLY | constants.O_NONBLOCK);
    return new Socket({ fd, readable: true, writable: false }).on('error', () => undefined).resume();
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}
