import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { isErrno } from '../../utils/errors.ts';

/**
 * A path as the system takes it, from a Latin-1 string: a container may give a cgroup any name, also one that is not UTF-8.
 * Most are ASCII, and stay strings.
 */
export function pathOf(path: string): string | Buffer {
  return /^[\x00-\x7f]*$/.test(path) ? path : Buffer.from(path, 'latin1');
}

/**
 * The text of a control file; undefined when the file or its cgroup is not there, or has none of it (EOPNOTSUPP: the
 * process list of a threaded cgroup). Read at once: the kernel answers from memory, in a tenth of a thread's round trip.
 */
export function readCgroupFile(path: string): string | undefined {
  try {
    return readFileSync(pathOf(path), 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENODEV', 'EOPNOTSUPP', 'ENOTSUP')) return undefined;
    throw error;
  }
}

/** Writes to a control file; false when this cgroup has none, or refuses the value. */
export async function writeCgroupFile(path: string, text: string): Promise<boolean> {
  try {
    await writeFile(pathOf(path), text, { flag: 'r+' });
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENODEV', 'EOPNOTSUPP', 'ENOTSUP', 'EACCES')) return false;
    throw error;
  }
}
