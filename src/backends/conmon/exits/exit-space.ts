import { mkdir, readdir, stat } from 'node:fs/promises';
import { mountTmpfs, unmount } from '../../../host/mounts/mount.ts';
import { RunnerPaths } from '../paths.ts';

/** A page for each of some thousand exit files; an empty tmpfs uses none of it. */
const BYTES = 32 * 2 ** 20;

/**
 * Mounts a small filesystem for exit files, so that no exit code is lost while the filesystem of the state directory is full.
 * No effect while containers exist, whose monitors may see another directory, and where the mount would end with this
 * process: in a mount namespace that is not that of process 1.
 * @param stateDir as {@link ConmonRunnerOptions} has it.
 * @throws Error with the kernel's reason.
 */
export async function mountExits(stateDir: string): Promise<void> {
  const { containers, exits } = new RunnerPaths(stateDir);
  for (const directory of [containers, exits]) {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    if ((await readdir(directory)).length > 0) return;
  }
  const [own, first] = await Promise.all(['self', '1'].map((pid) => stat(`/proc/${pid}/ns/mnt`)));
  if (own?.ino === first?.ino) await mountTmpfs(exits, { bytes: BYTES, mode: 0o700, owner: 0 });
}

/** Undoes {@link mountExits}, with the exit files; no error when nothing is mounted. */
export async function unmountExits(stateDir: string): Promise<void> {
  await unmount(new RunnerPaths(stateDir).exits);
}
