import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { StatusCode, unknown } from '../../../core/model/errors.ts';
import type { OciProcess } from '../../../core/model/oci-runtime.ts';
import { findNative } from '../../../host/native/find.ts';
import { exists } from '../../../utils/fs/exists.ts';
import { ociJson } from '../oci-json.ts';
import { PausedError } from '../pauses.ts';
import { readRuntimeErrors } from '../runtime-command.ts';

/** A process to run in a running container. */
export interface ExecTarget {
  runtime: string;
  runtimeRoot: string;
  id: string;
  process: OciProcess;
  /** The `cgroup.procs` file of the container's monitors, in which what waits for the process runs; undefined: here. */
  monitors: string | undefined;
}

/**
 * Writes the files of one call into the directory `work`. Returns the arguments of its command: the runtime starts the
 * process and exits, and the native helper waits for it (src/native/launch.c). crun's `exec` passes on its own
 * oom_score_adj, whatever `process.oomScoreAdj` says, so the helper sets it before.
 */
export async function prepareExec(target: ExecTarget, work: string, options: string[] = []): Promise<string[]> {
  const { runtime, runtimeRoot, id, process, monitors } = target;
  const [processFile, pidFile] = [join(work, 'process.json'), join(work, 'pid')];
  await writeFile(processFile, ociJson(process), { mode: 0o600 });
  return [
    ...[findNative(), 'exec'],
    ...(process.oomScoreAdj === undefined ? [] : ['--score', String(process.oomScoreAdj)]),
    ...(monitors === undefined ? [] : ['--cgroup', monitors]),
    ...[pidFile, runtime, `--root=${runtimeRoot}`, `--log=${logIn(work)}`, '--log-format=json'],
    ...['exec', '--detach', '--pid-file', pidFile, ...options, '--process', processFile, id],
  ];
}

/**
 * Called after the command's end: an exit code is the process's own when this does not throw.
 * @throws CriError UNKNOWN with the runtime's message, a PausedError where that is why; or when it did not even start.
 */
export async function throwIfRuntimeFailed({ runtime, id }: ExecTarget, work: string): Promise<void> {
  const log = logIn(work);
  const failure = (await exists(log)) ? await readRuntimeErrors(log) : `${runtime} did not start`;
  if (failure === '') return;
  const message = `cannot run the command in container ${id}: ${failure}`;
  // crun: "the container `…` is paused", runc: "cannot exec in a paused container".
  throw /\bpaused\b/.test(failure) ? new PausedError(StatusCode.UNKNOWN, message) : unknown(message);
}

function logIn(work: string): string {
  return join(work, 'runtime.log');
}
