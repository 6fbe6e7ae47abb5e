import { closeSync, constants, open, readSync } from 'node:fs';
import { Socket } from 'node:net';
import { promisify } from 'node:util';
import { isErrno } from '../utils/errors.ts';

/**
 * Reads a FIFO that processes keep open while they live: a paused stream of their output, which ends with the last of them.
 * Undefined when there is no such file, or no process has it open any more.
 * @throws the system's error when it cannot be opened or read.
 */
export async function readAliveFifo(path: string): Promise<Socket | undefined> {
  let fd: number;
  try {
    // A descriptor and not a FileHandle, which would close it when collected.
    fd = await promisify(open)(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
  let first: Buffer | undefined;
  try {
    first = readNow(fd);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  if (first?.length === 0) {
    closeSync(fd);
    return undefined;
  }
  const stream = new Socket({ fd, readable: true, writable: false }).on('error', () => undefined);
  if (first !== undefined) stream.unshift(first);
  return stream;
}

/**
 * What a FIFO has, nothing at its end, undefined while it is empty and has writers. A stream would not see an end that came before
 * the FIFO was opened: Linux reports that by read(2), not by poll(2).
 */
function readNow(fd: number): Buffer | undefined {
  const buffer = Buffer.alloc(4096);
  try {
    return buffer.subarray(0, readSync(fd, buffer));
  } catch (error) {
    if (isErrno(error, 'EAGAIN')) return undefined;
    throw error;
  }
}
