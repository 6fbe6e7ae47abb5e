import { posix } from 'node:path';
import { invalidArgument } from '../../core/model/errors.ts';
import { ScopedFileError, resolveScoped } from '../../utils/fs/scoped.ts';

/**
 * A path as the container sees it when links inside its root are followed; nothing runs in the root yet that could change
 * it. @throws CriError INVALID_ARGUMENT for a loop of links, naming `field`.
 */
export async function resolveInRoot(rootfs: string, path: string, field: string): Promise<string> {
  try {
    return posix.join('/', (await resolveScoped(rootfs, path)).slice(rootfs.length));
  } catch (error) {
    if (error instanceof ScopedFileError) throw invalidArgument(field, error.message);
    throw error;
  }
}
