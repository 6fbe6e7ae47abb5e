import { stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

/**
 * The uppermost directory on the way to `path`, itself included, that not everybody may search (path_resolution(7)): whoever
 * has no rights of the host's root does not come by. undefined when there is none. @throws the system's error.
 */
export async function firstClosedDirectory(path: string): Promise<string | undefined> {
  const parents = [resolve(path)];
  while (parents[0] !== '/') parents.unshift(dirname(parents[0] ?? '/'));
  for (const directory of parents) if (((await stat(directory)).mode & 0o001) === 0) return directory;
  return undefined;
}
