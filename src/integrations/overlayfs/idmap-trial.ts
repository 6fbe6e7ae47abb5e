import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../utils/errors.ts';
import { unmount } from '../../host/mounts/mount.ts';
import { mountIdmappedOverlay } from './idmapped-overlay.ts';

const REMEDY = 'it takes Linux 5.19 and a file system such as ext4, xfs or btrfs';

/**
 * Mounts an overlay with mapped ids in a folder of its own below `parent`, and looks whether the ids are mapped. Nothing
 * stays. Returns why it does not work, with the remedy, or undefined.
 */
export async function tryIdmappedOverlay(parent: string): Promise<string | undefined> {
  const ids = { hostId: 65_536, size: 65_536 };
  let folder: string | undefined;
  try {
    folder = await mkdtemp(join(parent, 'trial-'));
    const target = join(folder, 'merged');
    for (const name of ['lower', 'upper', 'work', 'merged']) await mkdir(join(folder, name));
    await writeFile(join(folder, 'lower/file'), '');
    const options = 'lowerdir=lower,upperdir=upper,workdir=work';
    await mountIdmappedOverlay({ path: folder, links: '.' }, { options, target, ids, readonly: false });
    try {
      const { uid, gid } = await stat(join(target, 'file'));
      if (uid === ids.hostId && gid === ids.hostId) return undefined;
      return `an overlay on ${parent} does not map ids: ${REMEDY}`;
    } finally {
      await unmount(target);
    }
  } catch (error) {
    return `an overlay with mapped ids cannot be mounted on ${parent} (${messageOf(error)}): ${REMEDY}`;
  } finally {
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  }
}
