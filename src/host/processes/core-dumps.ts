import { writeFile } from 'node:fs/promises';
import { isErrno } from '../../utils/errors.ts';

/**
 * Leaves this process's memory out of its core dumps, because it will hold credentials; the stacks' registers stay. Programs
 * that it starts afterwards inherit that, see core(5). On a kernel without core dumps there is nothing to do.
 */
export async function leaveMemoryOutOfCoreDumps(): Promise<void> {
  try {
    await writeFile('/proc/self/coredump_filter', '0');
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}
