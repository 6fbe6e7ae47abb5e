import { constants, type Stats } from 'node:fs';
import { type FileHandle, open, readlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { isErrno } from '../errors.ts';

/** O_PATH of open(2), which Node.js does not name; the number is that of x86 and ARM. */
const O_PATH = 0o10000000;
const MAX_LINKS = 40;

/** A file that exceeds the limit, is not a regular file, or is behind a loop of symlinks. */
export class ScopedFileError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ScopedFileError';
  }
}

/**
 * Resolves `path` as a process would whose root directory is `root`: absolute symlinks and `..` stay inside. Returns the
 * absolute path on this side, without symlinks, `root` itself resolved by the caller; what does not exist is kept as it is
 * written. It is true for the moment only: where somebody can change the tree meanwhile, use {@link readFileScoped}.
 * @throws ScopedFileError in a loop of symlinks.
 */
export async function resolveScoped(root: string, path: string): Promise<string> {
  const base = resolve(root);
  return join(base, await resolveLinks(path, (inside) => linkTarget(join(base, inside))));
}

/**
 * Resolves `path` where a root is made of several places, as with mounts in it: absolute symlinks and `..` stay inside.
 * Returns the absolute path inside the root, without symlinks; what does not exist is kept as it is written.
 * @param targetOf the target of the symlink that is there in the root; undefined for anything else.
 * @throws ScopedFileError in a loop of symlinks.
 */
export async function resolveLinks(
  path: string,
  targetOf: (inside: string) => Promise<string | undefined>,
): Promise<string> {
  const pending = path.split('/').reverse();
  const current: string[] = [];
  let links = 0;
  for (let component = pending.pop(); component !== undefined; component = pending.pop()) {
    if (component === '' || component === '.') continue;
    if (component === '..') {
      current.pop();
      continue;
    }
    const target = await targetOf(join('/', ...current, component));
    if (target === undefined) {
      current.push(component);
      continue;
    }
    if (++links > MAX_LINKS) throw new ScopedFileError(`${path}: too many symbolic links`);
    if (target.startsWith('/')) current.length = 0;
    pending.push(...target.split('/').reverse());
  }
  return join('/', ...current);
}

/**
 * Reads a regular file below `root`, resolving its path as {@link resolveScoped} does, one component at a time on open
 * directories: whoever changes the tree meanwhile cannot lead it outside. undefined when the file does not exist.
 * @throws ScopedFileError for more than `maxBytes` bytes, another kind of file, or a loop of symlinks.
 */
export async function readFileScoped(root: string, path: string, maxBytes: number): Promise<Buffer | undefined> {
  const opened: FileHandle[] = [];
  try {
    const found = await walk(root, path, opened);
    if (!found) return undefined;
    if (!(await found.stat()).isFile()) throw new ScopedFileError(`${path}: is not a regular file`);
    const file = await open(fdPath(found), constants.O_RDONLY);
    opened.push(file);
    return await readAtMost(file, maxBytes, path);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  } finally {
    for (const handle of opened) await handle.close();
  }
}

/**
 * Opens what `path` names below `root`, resolved one component at a time as {@link readFileScoped} does, and hands `use`
 * what it is and a path that leads to it whatever happens to the tree meanwhile, also for programs that `use` starts.
 * undefined when it does not exist. @throws ScopedFileError for a loop of symlinks; whatever `use` throws.
 */
export async function withScoped<T>(
  root: string,
  path: string,
  use: (found: { path: string; stats: Stats }) => Promise<T>,
): Promise<T | undefined> {
  const opened: FileHandle[] = [];
  try {
    const found = await absent(walk(root, path, opened));
    if (!found) return undefined;
    return await use({ path: `/proc/${process.pid}/fd/${found.fd}`, stats: await found.stat() });
  } finally {
    for (const handle of opened) await handle.close();
  }
}

async function absent<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

/**
 * Opens what `path` names, without reading it. `opened` has the directories from the root to it and it, so no more of them at
 * once than a path has, whatever links lead through.
 */
async function walk(root: string, path: string, opened: FileHandle[]): Promise<FileHandle | undefined> {
  const openAt = async (where: string, flags: number) => {
    const handle = await open(where, O_PATH | flags);
    opened.push(handle);
    return handle;
  };
  const closeFrom = async (depth: number) => {
    while (opened.length > depth) await opened.pop()?.close();
  };
  await openAt(root, constants.O_DIRECTORY);
  const pending = path.split('/').reverse();
  let links = 0;
  for (let component = pending.pop(); component !== undefined; component = pending.pop()) {
    const directory = opened.at(-1);
    if (!directory) return undefined;
    if (component === '' || component === '.') continue;
    if (component === '..') {
      await closeFrom(Math.max(opened.length - 1, 1));
      continue;
    }
    const where = `${fdPath(directory)}/${component}`;
    const next = await openAt(where, constants.O_NOFOLLOW);
    if (!(await next.stat()).isSymbolicLink()) continue;
    if (++links > MAX_LINKS) throw new ScopedFileError(`${path}: too many symbolic links`);
    const target = await readlink(where);
    await closeFrom(target.startsWith('/') ? 1 : opened.length - 1);
    pending.push(...target.split('/').reverse());
  }
  return opened.at(-1);
}

/** The filesystem's own name of an open file: a path through it starts there, whatever happened to its name. */
function fdPath(handle: FileHandle): string {
  return `/proc/self/fd/${handle.fd}`;
}

async function readAtMost(file: FileHandle, maxBytes: number, path: string): Promise<Buffer> {
  const buffer = Buffer.alloc(maxBytes + 1);
  let length = 0;
  while (length < buffer.length) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  if (length > maxBytes) throw new ScopedFileError(`${path}: is larger than ${maxBytes} bytes`);
  return buffer.subarray(0, length);
}

/** The target of the symlink at `path`; undefined for anything else and for nothing. */
export async function linkTarget(path: string): Promise<string | undefined> {
  try {
    return await readlink(path);
  } catch (error) {
    if (isErrno(error, 'EINVAL', 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}
