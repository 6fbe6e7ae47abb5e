import { readdir, realpath, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { OwnPart } from '../core/state-layout.ts';
import { isErrno } from '../utils/errors.ts';
import { mountPoints } from './mounts/mount.ts';
import { removeTree } from './trees/remove-tree.ts';

/**
 * Removes the server's files below a directory, and the directory when it is then empty. Mounts and files with other names
 * stay.
 * @returns the paths that stay and do not belong to the server.
 */
export async function removeOwn(directory: string, parts: readonly OwnPart[]): Promise<string[]> {
  // The kernel lists mount points without links.
  const base = await realpath(directory).catch(() => directory);
  const mounts = [...(await mountPoints())];
  const foreign: string[] = [];
  const holdsForeign = (path: string) =>
    [...mounts, ...foreign].some((other) => other === path || other.startsWith(`${path}/`));
  for (const { path, own } of parts) {
    const part = join(base, path);
    for (const name of await list(part)) {
      const inside = join(part, name);
      if (holdsForeign(inside)) continue;
      if (own === undefined || own.test(name)) await removeTree(inside);
      else foreign.push(inside);
    }
    if (!holdsForeign(part)) await removeTree(part);
  }
  for (const name of await list(base)) if (!holdsForeign(join(base, name))) foreign.push(join(base, name));
  // It stays as well when it is itself a mount point.
  await rmdir(base).catch((error: unknown) => {
    if (!isErrno(error, 'ENOTEMPTY', 'ENOENT', 'EBUSY', 'EROFS')) throw error;
  });
  return [...foreign, ...mounts.filter((path) => path.startsWith(`${base}/`))].sort();
}

async function list(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    // A file of the server's, such as the lock.
    if (isErrno(error, 'ENOTDIR')) return [];
    throw error;
  }
}
