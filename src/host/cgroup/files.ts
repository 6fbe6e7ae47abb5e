import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { isErrno } from '../../utils/errors.ts';

/**
 * The text of a control file; undefined when the file or its cgroup is not there, or has none of it (EOPNOTSUPP: the
 * process list of a threaded cgroup). Read at once: the kernel answers from memory, in a tenth of a thread's round trip.
 */
export function readCgroupFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENODEV', 'EOPNOTSUPP', 'ENOTSUP')) return undefined;
    throw error;
  }
}

/** Writes to a control file; false when this cgroup has none, or refuses the value. */
export async function writeCgroupFile(path: string, text: string): Promise<boolean> {
  try {
    await writeFile(path, text, { flag: 'r+' });
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENODEV', 'EOPNOTSUPP', 'ENOTSUP', 'EACCES')) return false;
    throw error;
  }
}
