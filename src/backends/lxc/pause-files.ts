import { readFile } from 'node:fs/promises';
import { writeFileAtomic } from '../../utils/fs/atomic.ts';
import { openDirectory, preparePauseRootfs, preparePauseProgram } from '../pause-rootfs.ts';
import { hookProgram } from '../hook-program.ts';
import { lxcPauseSeccomp } from '../pause-process.ts';

/** Files that all pods use. */
export interface PauseFiles {
  rootfs: string;
  /** The native helper, whose command `hook` liblxc runs, also while this server is down. */
  native: string;
  /** The program that is the pause process: it reaps and waits. */
  init: string;
  /** Its seccomp filter, in liblxc's form. */
  seccomp: string;
}

async function keepFile(path: string, content: string, mode: number): Promise<void> {
  if ((await readFile(path, 'utf8').catch(() => '')) !== content) await writeFileAtomic(path, content, mode);
}

/**
 * Creates or completes the files in `directory`. They are small and contain no data of pods, so they stay.
 * @param programs directory of the pause program; see {@link preparePauseProgram}.
 * @throws CriError UNAVAILABLE when `init` cannot be executed or there is no native helper.
 */
export async function preparePauseFiles(directory: string, programs: string, init: string): Promise<PauseFiles> {
  const rootfs = `${directory}/rootfs`;
  const native = hookProgram();
  const program = await preparePauseProgram(programs, init);
  const files = { rootfs, native, init: program, seccomp: `${directory}/seccomp` };
  await openDirectory(directory);
  await preparePauseRootfs(rootfs);
  await keepFile(files.seccomp, lxcPauseSeccomp(), 0o600);
  return files;
}
