import { BfcError } from '../integrations/bfc/errors.ts';
import { isErrno } from '../utils/errors.ts';

/**
 * Runs work that writes to `place`. @param remedy beside freeing space.
 * @throws BfcError `space` that names it instead of the system's error for a full disk.
 */
export async function namingFullDisk<T>(place: string, work: () => Promise<T>, remedy = 'write elsewhere'): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isErrno(error, 'ENOSPC', 'EDQUOT')) throw error;
    const what = `no space left on its filesystem; free some, or ${remedy}`;
    throw new BfcError('space', { file: place }, what, { cause: error });
  }
}
