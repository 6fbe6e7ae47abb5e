import { constants, open } from 'node:fs';
import { Socket } from 'node:net';
import { promisify } from 'node:util';
import { isErrno } from '../utils/errors.ts';

/**
 * Reads a FIFO that processes keep open while they live: a stream of their output, which ends with the last of them.
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
