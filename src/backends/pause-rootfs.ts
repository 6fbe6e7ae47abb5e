import { chmod, mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { unavailable } from '../core/model/errors.ts';
import { isErrno } from '../utils/errors.ts';
import { writeFileAtomic } from '../utils/fs/atomic.ts';

/** A statically linked init with a pause mode `-P`, from the Debian package catatonit. */
export const defaultInit = '/usr/bin/catatonit';

/** Creates a directory that the root of a user namespace, who has no rights here, can pass through to known paths. */
export async function openDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o711 });
  await chmod(path, 0o711);
}

/**
 * Makes or completes, in `directory`, the program that is to be mounted at `/init` of pause processes, and returns its path: a
 * copy of `init` that they may execute and not read. The kernel makes such a process one that only CAP_SYS_PTRACE over the
 * node's own user namespace may attach to or look into, whoever's ids it has (ptrace(2), "dumpable").
 * @param directory on a filesystem mounted without noexec, which bind mounts inherit: Debian mounts /run with it.
 * @throws CriError UNAVAILABLE when `init` is missing.
 */
export async function preparePauseProgram(directory: string, init: string): Promise<string> {
  const content = await readFile(init).catch((cause: unknown) => {
    throw unavailable(`${init} not found; install the Debian package catatonit`, cause);
  });
  const program = `${directory}/init`;
  const present = await readFile(program).catch(() => undefined);
  // Nothing is written when everything is in place: the filesystem may be read-only by now.
  if (present?.equals(content) === true && (await isMode(program, 0o711)) && (await isMode(directory, 0o711))) {
    return program;
  }
  await openDirectory(directory);
  // Replaced, not overwritten: pause processes run the old one.
  await writeFileAtomic(program, content, 0o711);
  // Whatever the umask.
  await chmod(program, 0o711);
  return program;
}

async function isMode(path: string, mode: number): Promise<boolean> {
  return ((await stat(path)).mode & 0o7777) === mode;
}

/**
 * Creates or completes, in `directory`, the root filesystem of pause processes: only mount points, which all pods share
 * read-only.
 */
export async function preparePauseRootfs(directory: string): Promise<void> {
  for (const name of ['dev', 'proc']) await mkdir(`${directory}/${name}`, { recursive: true, mode: 0o755 });
  for (const name of ['init', 'dev/null']) await writeFile(`${directory}/${name}`, '', { flag: 'a', mode: 0o755 });
  // liblxc expects these links and warns where it cannot create them.
  for (const [name, target] of [
    ['fd', '/proc/self/fd'],
    ['stdin', '/proc/self/fd/0'],
    ['stdout', '/proc/self/fd/1'],
    ['stderr', '/proc/self/fd/2'],
  ] as const) {
    await symlink(target, `${directory}/dev/${name}`).catch((error: unknown) => {
      if (!isErrno(error, 'EEXIST')) throw error;
    });
  }
}
