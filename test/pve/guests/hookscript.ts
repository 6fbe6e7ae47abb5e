import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { environment } from '../lxc/machine/tool.ts';
import type { Volumes } from '../state/volumes.ts';

/**
 * Runs the script of a guest's configuration, as the node does before and after the guest starts and stops.
 * @param log gets what it prints, and why it failed where that stops nothing
 * @throws Error with the node's text when it fails before a start, which it stops.
 */
export async function runHookscript(
  vmid: number,
  values: Readonly<Record<string, string>>,
  phase: 'pre-start' | 'post-start' | 'pre-stop' | 'post-stop',
  volumes: Volumes,
  log: (line: string) => void,
): Promise<void> {
  const { hookscript } = values;
  if (hookscript === undefined) return;
  try {
    await checkScript(hookscript, volumes.file(hookscript));
    const why = await runScript(volumes.file(hookscript), [String(vmid), phase], log);
    if (why !== undefined) {
      throw new Error(`command '${volumes.path(hookscript)} ${vmid} ${phase}' failed: ${why}`);
    }
  } catch (error) {
    const why = `hookscript error for ${vmid} on ${phase}: ${(error as Error).message}`;
    if (phase === 'pre-start') throw new Error(why, { cause: error });
    log(why);
  }
}

async function checkScript(volid: string, file: string): Promise<void> {
  const found = await stat(file).catch(() => undefined);
  if (found?.isFile() !== true) throw new Error(`script '${volid}' does not exist`);
  await access(file, constants.X_OK).catch(() => {
    throw new Error(`script '${volid}' is not executable`);
  });
}

/** Resolves with why it failed, undefined when it did not. */
function runScript(file: string, args: string[], log: (line: string) => void): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(file, args, { env: environment, cwd: '/' }, (error, stdout, stderr) => {
      for (const line of `${stdout}${stderr}`.split('\n').filter((text) => text !== '')) log(line);
      if (error === null) resolve(undefined);
      else resolve(typeof error.code === 'number' ? `exit code ${error.code}` : (error.signal ?? error.message));
    });
  });
}
