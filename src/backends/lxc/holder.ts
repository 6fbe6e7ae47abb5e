import { readFile } from 'node:fs/promises';
import { writeFileAtomic } from '../../utils/fs/atomic.ts';
import { openFolder, pauseProgram, prepareHolderRootfs } from '../holder-rootfs.ts';
import { lxcPauseSeccomp } from '../pause-process.ts';
import { guestHook } from './guest-hook.ts';

/** Files that all guests use. */
export interface Holder {
  rootfs: string;
  /** A shell script, see {@link guestHook}. */
  hook: string;
  /** The program that is the guests' first process: it reaps and waits. */
  init: string;
  /** Its seccomp filter, in liblxc's form. */
  seccomp: string;
}

async function keepFile(path: string, content: string, mode: number): Promise<void> {
  if ((await readFile(path, 'utf8').catch(() => '')) !== content) await writeFileAtomic(path, content, mode);
}

/**
 * Makes or completes the files in `directory`. They are small and hold nothing of a pod, so they stay.
 * @throws CriError UNAVAILABLE when `init` cannot be executed.
 */
export async function prepareHolder(directory: string, init: string): Promise<Holder> {
  const rootfs = `${directory}/rootfs`;
  const holder = { rootfs, hook: `${directory}/hook`, init: pauseProgram(rootfs), seccomp: `${directory}/seccomp` };
  await openFolder(directory);
  await prepareHolderRootfs(rootfs, init);
  await keepFile(holder.hook, guestHook, 0o700);
  await keepFile(holder.seccomp, lxcPauseSeccomp(), 0o600);
  return holder;
}
