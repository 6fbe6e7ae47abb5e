import { chmod, chown, mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../../utils/errors.ts';
import { withScoped } from '../../utils/fs/scoped.ts';

/** `withDirectory` of PlatformFiles on this host. */
export async function withDirectory<T>(
  root: string,
  path: string,
  like: string,
  use: (path: string) => Promise<T>,
): Promise<T> {
  const names = path.split('/').filter((name) => name !== '');
  for (const [index, name] of names.entries()) {
    const above = names.slice(0, index).join('/');
    const made = await makeMissing(root, above, name);
    if (made) await copyFacts(join(like, above, name), root, join(above, name));
  }
  const result = await withScoped(root, path, async ({ path: found, stats }) => {
    if (!stats.isDirectory()) throw new Error('is not a directory');
    return { value: await use(found) };
  });
  if (result === undefined) throw new Error('leads nowhere');
  return result.value;
}

/** @returns whether the directory is new. */
async function makeMissing(root: string, above: string, name: string): Promise<boolean> {
  const exists = await withScoped(root, join(above, name), () => Promise.resolve(true));
  if (exists === true) return false;
  const made = await withScoped(root, above, async ({ path }) => {
    try {
      await mkdir(join(path, name), { mode: 0o700 });
      return true;
    } catch (error) {
      if (isErrno(error, 'EEXIST')) return false;
      throw error;
    }
  });
  return made ?? false;
}

/** Owner and mode, through an open directory: what it is cannot change any more. */
async function copyFacts(from: string, root: string, to: string): Promise<void> {
  const { uid, gid, mode } = await stat(from);
  await withScoped(root, to, async ({ path, stats }) => {
    if (!stats.isDirectory()) return;
    await chown(path, uid, gid);
    await chmod(path, mode & 0o7777);
  });
}
