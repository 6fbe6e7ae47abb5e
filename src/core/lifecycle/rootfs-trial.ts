import { isErrno, messageOf } from '../../utils/errors.ts';
import type { Backend } from '../model/backend.ts';
import { trialId } from '../model/rootfs.ts';
import { mountRootfs, placeOf, removeRootfs } from './rootfs-place.ts';

const TRIAL = trialId('start');

/**
 * Mounts and removes an empty root filesystem of the backend. Returns why containers cannot have one, or undefined.
 * @param root the server's root directory, for the message.
 */
export async function rootfsProblem(backend: Backend, root: string): Promise<string | undefined> {
  const place = placeOf(backend);
  try {
    await mountRootfs(place, TRIAL, undefined);
    await removeRootfs(place, TRIAL);
    return undefined;
  } catch (error) {
    // A full or read-only disk may be writable again later.
    if (isErrno(error, 'ENOSPC', 'EDQUOT', 'EROFS')) return undefined;
    if (place.store.name !== 'overlayfs') return `cannot make a root filesystem: ${messageOf(error)}`;
    return (
      `cannot make a root filesystem in ${root}: ${messageOf(error)}; root must be on a filesystem that can ` +
      `be the upper layer of ${place.store.name}, such as ext4, xfs or tmpfs, not on overlayfs`
    );
  }
}
