import { access, constants, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { isErrno, unavailable } from '../../core/model/errors.ts';
import { writeFileAtomic } from '../../utils/fs/atomic.ts';
import { guestHook } from './guest-hook.ts';

/** Files that all guests use: a root file system with nothing in it but mount points, and the hook. */
export interface Holder {
  rootfs: string;
  hook: string;
  /** The program that is the guests' first process, statically linked: it reaps and waits. */
  init: string;
}

/**
 * Makes or completes the files in `directory`. They are small and hold nothing of a pod, so they stay.
 * @throws CriError UNAVAILABLE when `init` cannot be executed.
 */
export async function prepareHolder(directory: string, init: string): Promise<Holder> {
  await access(init, constants.X_OK).catch((cause: unknown) => {
    throw unavailable(`${init} is missing: install the Debian package catatonit`, cause);
  });
  const holder = { rootfs: `${directory}/rootfs`, hook: `${directory}/hook`, init };
  for (const name of ['dev', 'proc', 'sys']) await mkdir(`${holder.rootfs}/${name}`, { recursive: true, mode: 0o755 });
  for (const name of ['init', 'dev/null']) await writeFile(`${holder.rootfs}/${name}`, '', { flag: 'a', mode: 0o755 });
  // liblxc wants these four links and complains where it cannot make them.
  for (const [name, target] of [
    ['fd', '/proc/self/fd'],
    ['stdin', '/proc/self/fd/0'],
    ['stdout', '/proc/self/fd/1'],
    ['stderr', '/proc/self/fd/2'],
  ] as const) {
    await symlink(target, `${holder.rootfs}/dev/${name}`).catch((error: unknown) => {
      if (!isErrno(error, 'EEXIST')) throw error;
    });
  }
  if ((await readFile(holder.hook, 'utf8').catch(() => '')) !== guestHook) {
    await writeFileAtomic(holder.hook, guestHook, 0o700);
  }
  return holder;
}
