import { stat } from 'node:fs/promises';
import { isErrno } from '../errors.ts';

/** True when something is at this path (links are followed). @throws Error of the system for anything but its absence. */
export async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}
