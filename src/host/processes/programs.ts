import { access, constants } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { unavailable } from '../../core/model/errors.ts';

/** The environment of conmon and the OCI runtime, without that of this server (LISTEN_*, NOTIFY_SOCKET, secrets). */
export const programEnv: NodeJS.ProcessEnv = {
  PATH: process.env['PATH'] ?? '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
};

/** The absolute path of a program given as a name on PATH or as a path; undefined when there is no such executable file. */
export async function which(program: string): Promise<string | undefined> {
  const directories = (programEnv['PATH'] ?? '').split(':').filter((directory) => isAbsolute(directory));
  for (const candidate of isAbsolute(program) ? [program] : directories.map((directory) => join(directory, program))) {
    try {
      await access(candidate, constants.X_OK);
      return candidate;
    } catch {
      continue;
    }
  }
  return undefined;
}

/**
 * As {@link which}; conmon takes its runtime as a path only.
 * @throws CriError UNAVAILABLE when there is no such executable file; `setting` names the key to correct.
 */
export async function findProgram(program: string, setting: string): Promise<string> {
  const found = await which(program);
  if (found !== undefined) return found;
  throw unavailable(`${setting}: program ${JSON.stringify(program)} not found; install it, or set another`);
}

/** Whether this machine is a node of Proxmox VE, by the program that says its version. */
export async function isProxmoxNode(): Promise<boolean> {
  return (await which('pveversion')) !== undefined;
}
