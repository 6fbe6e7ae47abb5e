import { readFile } from 'node:fs/promises';
import { writeFileAtomic } from '../../utils/fs/atomic.ts';
import { openFolder, prepareHolderRootfs } from '../holder-rootfs.ts';
import { guestHook } from './guest-hook.ts';

/** Files that all guests use. */
export interface Holder {
  rootfs: string;
  /** A shell script, see {@link guestHook}. */
  hook: string;
  /** The program that is the guests' first process: it reaps and waits. */
  init: string;
}

/**
 * Makes or completes the files in `directory`. They are small and hold nothing of a pod, so they stay.
 * @throws CriError UNAVAILABLE when `init` cannot be executed.
 */
export async function prepareHolder(directory: string, init: string): Promise<Holder> {
  const holder = { rootfs: `${directory}/rootfs`, hook: `${directory}/hook`, init };
  await openFolder(directory);
  await prepareHolderRootfs(holder.rootfs, init);
  if ((await readFile(holder.hook, 'utf8').catch(() => '')) !== guestHook) {
    await writeFileAtomic(holder.hook, guestHook, 0o700);
  }
  return holder;
}
