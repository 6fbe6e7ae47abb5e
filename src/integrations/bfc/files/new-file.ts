import { randomUUID } from 'node:crypto';
import { type FileHandle, link, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isErrno, messageOf } from '../../../utils/errors.ts';
import { syncDirectory } from '../../../utils/fs/atomic.ts';
import { BfcError } from '../errors.ts';

/** Filesystems without hard links, such as CIFS, say so in these ways. */
const NO_LINKS = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'];

/** The name, in the same directory, of a file or directory that is not finished. Only a killed process leaves one. */
export function unfinishedName(): string {
  return `.bfc-${randomUUID()}.partial`;
}

/** A file that is not there before it is complete. */
export interface UnfinishedFile {
  handle: FileHandle;
  /** Makes it durable and gives it its name. @throws BfcError `exists` where another has got the name. */
  publish(): Promise<void>;
  /** Removes it; nothing once it was published. */
  discard(): Promise<void>;
}

/**
 * Creates a file beside `path`, which takes that name when it is published.
 * @param replaces whether another file of that name is then replaced.
 * @throws BfcError when the name is taken, or the directory lets none be created.
 */
export async function createUnfinished(path: string, { replaces }: { replaces: boolean }): Promise<UnfinishedFile> {
  const unfinished = join(dirname(path), unfinishedName());
  if (!replaces) await refuseExisting(path);
  let handle: FileHandle;
  try {
    handle = await open(unfinished, 'wx+', 0o666);
  } catch (error) {
    throw new BfcError('name', { file: path }, `cannot be created: ${messageOf(error)}`, { cause: error });
  }
  let isOpen = true;
  const close = async () => {
    if (isOpen) await handle.close();
    isOpen = false;
  };
  return {
    handle,
    publish: async () => {
      await handle.sync();
      await close();
      if (replaces) await rename(unfinished, path);
      else await takeName(unfinished, path);
      await syncDirectory(dirname(path));
    },
    discard: async () => {
      await close();
      await rm(unfinished, { force: true });
    },
  };
}

/** Renames without replacing anything. */
async function takeName(unfinished: string, path: string): Promise<void> {
  try {
    await link(unfinished, path);
  } catch (error) {
    if (isErrno(error, 'EEXIST')) throw alreadyExists(path);
    if (!isErrno(error, ...NO_LINKS)) throw error;
    // Without links two processes that write the same file at once are not told from one.
    await refuseExisting(path);
    await rename(unfinished, path);
    return;
  }
  await rm(unfinished);
}

async function refuseExisting(path: string): Promise<void> {
  try {
    await stat(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'EACCES')) return;
    throw error;
  }
  throw alreadyExists(path);
}

function alreadyExists(path: string): BfcError {
  return new BfcError('exists', { file: path }, 'already exists; choose another name, or have it replaced');
}
