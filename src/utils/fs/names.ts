import { readdir } from 'node:fs/promises';
import { isErrno } from '../errors.ts';

/** The names in a directory, in no order; empty when the directory does not exist. @throws Error of the system for anything else. */
export async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}
