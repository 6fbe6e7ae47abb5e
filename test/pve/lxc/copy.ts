import { statSync } from 'node:fs';
import type { CopySource } from '../guests/runtime.ts';
import { tool } from './machine/tool.ts';

/** Mounts the snapshot $1 at /mnt for the time of the copy to $2: it is a mount namespace of its own. */
const OF_SNAPSHOT = 'mount -n -t zfs -o ro "$1" /mnt && exec cp --archive --no-target-directory /mnt "$2"';

/**
 * Copies the content of a volume into a new volume of its size.
 * @throws Error when the two are not both directories or both images, and when a tool fails.
 */
export async function copyVolume({ file, snapshot }: CopySource, to: string): Promise<void> {
  const [from, target] = [statSync(file), statSync(to)];
  if (from.isDirectory() !== target.isDirectory())
    throw new Error(`the simulated node does not copy between a directory and an image: '${file}', '${to}'`);
  if (!from.isDirectory()) {
    const sparse = target.isBlockDevice() ? 'conv=sparse,nocreat' : 'conv=sparse,notrunc';
    await tool('dd', [`if=${file}`, `of=${to}`, 'bs=1M', sparse, 'status=none']);
    return;
  }
  if (snapshot === undefined) {
    await tool('cp', ['--archive', '--sparse=always', '--no-target-directory', file, to]);
    return;
  }
  await tool('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', OF_SNAPSHOT, 'sh', snapshot, to]);
}
