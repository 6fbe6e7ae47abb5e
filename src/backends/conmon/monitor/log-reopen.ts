import { readdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CriError, StatusCode, failedPrecondition } from '../../../core/model/errors.ts';
import { isErrno } from '../../../utils/errors.ts';
import { askToReopenLog } from './control.ts';
import { exists } from '../../../utils/fs/exists.ts';
import { makeDirectories } from '../../../host/paths.ts';
import { isAlive } from '../../../host/processes/process-table.ts';
import type { ProcessRef } from '../../../host/processes/process-table.ts';

/** conmon syncs the old file to disk first, which a busy disk makes slow. */
const LIMIT_MS = 30_000;

/**
 * Requests conmon to reopen its log and returns when the new file exists. Earlier lines go to the renamed file, later
 * lines to the new one, none is lost. When the file was not renamed this has no effect: conmon would replace it by an
 * empty one. A missing log directory is recreated: conmon would exit without it.
 * @throws CriError FAILED_PRECONDITION when conmon is gone or ends meanwhile, or the file at the path is not conmon's;
 * DEADLINE_EXCEEDED when conmon does not answer.
 */
export async function reopenLog(control: string, logPath: string, monitor: ProcessRef): Promise<void> {
  // First, since only this has a time limit: the directory may be on a stalled filesystem.
  await makeDirectories(dirname(logPath), 0o755);
  if (await exists(logPath)) {
    if (await holdsOpen(monitor.pid, logPath)) return;
    throw failedPrecondition(`${logPath} is not this container's log file; move it, then retry`);
  }
  await askToReopenLog(control);
  for (let waited = 0; !(await exists(logPath)); waited += 5) {
    if (!isAlive(monitor) && !(await exists(logPath))) {
      throw failedPrecondition(`the container exited before its log was reopened; all output is in the renamed file`);
    }
    if (waited > LIMIT_MS) throw new CriError(StatusCode.DEADLINE_EXCEEDED, `conmon did not reopen ${logPath}`);
    await sleep(5);
  }
}

/** True when the process has the file at `path` open, by device and inode. */
async function holdsOpen(pid: number, path: string): Promise<boolean> {
  const directory = `/proc/${String(pid)}/fd`;
  try {
    const target = await stat(path, { bigint: true });
    const files = await Promise.all((await readdir(directory)).map((name) => statOrNothing(`${directory}/${name}`)));
    return files.some((file) => file?.ino === target.ino && file.dev === target.dev);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ESRCH')) return false;
    throw error;
  }
}

async function statOrNothing(path: string) {
  try {
    return await stat(path, { bigint: true });
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ESRCH')) return undefined;
    throw error;
  }
}
