import { access, chmod, constants, mkdir, symlink, writeFile } from 'node:fs/promises';
import { unavailable } from '../core/model/errors.ts';
import { isErrno } from '../utils/errors.ts';

/** A statically linked init with a pause mode `-P`, from the Debian package catatonit. */
export const defaultInit = '/usr/bin/catatonit';

/** Makes a folder through which the root of a user namespace, who has no rights here, can get to what he knows of. */
export async function openFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o711 });
  await chmod(path, 0o711);
}

/**
 * Makes or completes, in `directory`, the root file system of the process that holds a pod's namespaces: nothing but mount
 * points, all pods share it read-only. `init` is to be mounted at `/init`.
 * @throws CriError UNAVAILABLE when `init` cannot be executed.
 */
export async function prepareHolderRootfs(directory: string, init: string): Promise<void> {
  await access(init, constants.X_OK).catch((cause: unknown) => {
    throw unavailable(`${init} is missing: install the Debian package catatonit`, cause);
  });
  for (const name of ['dev', 'proc']) await mkdir(`${directory}/${name}`, { recursive: true, mode: 0o755 });
  for (const name of ['init', 'dev/null']) await writeFile(`${directory}/${name}`, '', { flag: 'a', mode: 0o755 });
  // liblxc wants these links and complains where it cannot make them.
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
