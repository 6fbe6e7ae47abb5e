import { chmod, chown, lstat, utimes } from 'node:fs/promises';
import type { DirectoryFacts } from './layer-filter.ts';

/** Gives a folder an owner, a mode and a time of modification. */
export async function setFacts(path: string, { mode, uid, gid, mtime }: DirectoryFacts): Promise<void> {
  await chown(path, uid, gid);
  await chmod(path, mode);
  await utimes(path, Number(mtime), Number(mtime));
}

/**
 * How the uppermost of these layers' folders (top one first) that has the directory `path` describes it; undefined when none
 * has, or when the uppermost has something else there. Names are Latin-1 strings, "" is the root.
 */
export async function describeDirectory(folders: readonly string[], path: string): Promise<DirectoryFacts | undefined> {
  for (const folder of folders) {
    const facts = await lookUp(folder, path);
    if (facts !== 'absent') return facts;
  }
  return undefined;
}

/** Looks at each component by itself, so that no symlink inside the layer is followed. */
async function lookUp(folder: string, path: string): Promise<DirectoryFacts | undefined | 'absent'> {
  let current = Buffer.from(folder);
  let stat = await lstat(current);
  for (const component of path === '' ? [] : path.split('/')) {
    current = Buffer.concat([current, Buffer.from('/'), Buffer.from(component, 'latin1')]);
    try {
      stat = await lstat(current);
    } catch {
      return 'absent';
    }
    if (!stat.isDirectory()) return undefined;
  }
  return { mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid, mtime: String(Math.floor(stat.mtimeMs / 1000)) };
}
