import { randomUUID } from 'node:crypto';
import { mkdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { RootfsChanges } from '../../core/model/rootfs-changes.ts';
import { namesIn } from '../../utils/fs/names.ts';
import { unmount, unmountBelow } from '../mounts/mount.ts';
import { call } from '../native/call.ts';
import { MountFlag } from '../native/steps.ts';
import { compareTrees } from './compare-trees.ts';

/** One of two trees to compare: what mount(2) takes; undefined for an empty tree. */
type Tree = { type: string; source: string; options?: string; cwd?: string } | undefined;

/** No link leads out of the tree, whoever changes what it shows. */
const FLAGS = MountFlag.readonly | MountFlag.nosuid | MountFlag.nodev | MountFlag.noexec | MountFlag.nosymfollow;

/**
 * Mounts an image and a root filesystem made of it beside each other in `directory`, which is created when missing. A failure
 * leaves nothing. @throws StepError with the kernel's reason; the signal's reason.
 */
export async function mountPair(
  directory: string,
  { image, rootfs }: { image: Tree; rootfs: Tree },
  signal?: AbortSignal,
): Promise<Omit<RootfsChanges, 'isSnapshot'>> {
  const name = randomUUID();
  const [before, after] = [join(directory, `${name}.image`), join(directory, `${name}.rootfs`)];
  const close = async () => {
    for (const target of [before, after]) {
      await unmount(target);
      await rmdir(target);
    }
  };
  await mkdir(directory, { recursive: true, mode: 0o700 });
  try {
    for (const [target, tree] of [
      [before, image],
      [after, rootfs],
    ] as const) {
      await mkdir(target, { mode: 0o700 });
      if (tree !== undefined) await call([{ do: 'mount', target, flags: FLAGS, ...tree }], signal);
    }
  } catch (error) {
    await close().catch(() => undefined);
    throw error;
  }
  return { directory: after, list: (abort) => compareTrees(before, after, abort), close };
}

/** Removes the mount points that a killed server has left in the directory of {@link mountPair}, or in one like it. */
export async function removeMountPoints(directory: string): Promise<void> {
  await unmountBelow(directory);
  // Never a tree: what is mounted must not be deleted.
  for (const name of await namesIn(directory)) await rmdir(join(directory, name)).catch(() => undefined);
}
