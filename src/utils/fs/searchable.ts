import { stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

/**
 * The uppermost directory on the path, itself included, without search permission for others (path_resolution(7)), which
 * blocks users other than the host's root. undefined when there is none. @throws the system's error.
 */
export async function firstClosedDirectory(path: string): Promise<string | undefined> {
  const parents = [resolve(path)];
  while (parents[0] !== '/') parents.unshift(dirname(parents[0] ?? '/'));
  for (const directory of parents) if (((await stat(directory)).mode & 0o001) === 0) return directory;
  return undefined;
}
