import { randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { invalidArgument } from '../core/model/errors.ts';
import type { NewFiles } from '../core/model/image-files.ts';
import { isErrno, messageOf } from '../utils/errors.ts';

/**
 * Writes a file that must not exist: under another name beside it, which it loses when it is complete and on disk. A failure
 * leaves nothing.
 * @param bytes what to write, called once the file can be made. @returns its size.
 * @throws CriError INVALID_ARGUMENT when it exists or cannot be made; what `bytes` throws; the signal's reason.
 */
export async function writeNewFile(
  path: string,
  bytes: () => AsyncIterable<Buffer>,
  signal: AbortSignal | undefined,
): Promise<number> {
  const unfinished = join(dirname(path), `.export-${randomUUID()}.partial`);
  try {
    await claim(path, unfinished);
    await pipeline(bytes(), createWriteStream(unfinished, { flags: 'r+' }), { ...(signal && { signal }) });
    await syncFile(unfinished);
    await rename(unfinished, path);
    return (await stat(path)).size;
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    await rm(unfinished, { force: true });
  }
}

/** Files of this host by name. */
export const newFiles: NewFiles = {
  write: writeNewFile,
  read: async function* (path) {
    try {
      // A device or FIFO may have no end.
      if (!(await stat(path)).isFile()) throw invalidArgument('path', `${JSON.stringify(path)} is not a file`);
    } catch (error) {
      if (!isErrno(error, 'ENOENT', 'ENOTDIR', 'EACCES')) throw error;
      throw invalidArgument('path', `${JSON.stringify(path)} cannot be read: ${messageOf(error)}`);
    }
    yield* createReadStream(path, { highWaterMark: 1_048_576 }) as AsyncIterable<Buffer>;
  },
};

/** Makes the unfinished file, and makes sure that the finished one replaces nothing. */
async function claim(path: string, unfinished: string): Promise<void> {
  try {
    await (await open(unfinished, 'wx', 0o600)).close();
  } catch (error) {
    throw invalidArgument('path', `${JSON.stringify(path)} cannot be created: ${messageOf(error)}`);
  }
  try {
    await stat(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return;
    throw error;
  }
  throw invalidArgument('path', `${JSON.stringify(path)} already exists; use a new file`);
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
