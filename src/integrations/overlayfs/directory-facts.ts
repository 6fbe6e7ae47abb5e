import { chmod, chown, utimes } from 'node:fs/promises';
import type { DirectoryFacts } from './layer-filter.ts';

/** Gives a folder an owner, a mode and a time of modification. */
export async function setFacts(path: string, { mode, uid, gid, mtime }: DirectoryFacts): Promise<void> {
  await chown(path, uid, gid);
  await chmod(path, mode);
  await utimes(path, Number(mtime), Number(mtime));
}
