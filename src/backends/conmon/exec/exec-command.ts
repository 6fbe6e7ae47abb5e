import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { unknown } from '../../../core/model/errors.ts';
import type { OciProcess } from '../../../core/model/oci-runtime.ts';
import { exists } from '../../../utils/fs/exists.ts';
import { ociJson } from '../oci-json.ts';
import { readRuntimeErrors } from '../runtime-command.ts';

/** A process to run in a running container. */
export interface ExecTarget {
  runtime: string;
  runtimeRoot: string;
  id: string;
  process: OciProcess;
}

/** crun's `exec` hands its own oom_score_adj down, whatever `process.oomScoreAdj` says; what may not be lowered stays. */
const SCORED = '{ echo "$0" >/proc/self/oom_score_adj; } 2>/dev/null; exec "$@"';

/** Writes the files of one call into the folder `work`. Returns the words of the command that makes it. */
export async function prepareExec(target: ExecTarget, work: string, options: string[] = []): Promise<string[]> {
  const { runtime, runtimeRoot, id, process } = target;
  const processFile = join(work, 'process.json');
  await writeFile(processFile, ociJson(process), { mode: 0o600 });
  const global = [`--root=${runtimeRoot}`, `--log=${logIn(work)}`, '--log-format=json'];
  const command = [runtime, ...global, 'exec', ...options, '--process', processFile, id];
  return process.oomScoreAdj === undefined ? command : ['sh', '-c', SCORED, String(process.oomScoreAdj), ...command];
}

/**
 * To be asked after the command's end: an exit code is the process's own when this does not throw.
 * @throws CriError UNKNOWN with the runtime's words, or when it did not even begin.
 */
export async function throwIfRuntimeFailed({ runtime, id }: ExecTarget, work: string): Promise<void> {
  const log = logIn(work);
  const failure = (await exists(log)) ? await readRuntimeErrors(log) : `${runtime} did not start`;
  if (failure !== '') throw unknown(`cannot run the command in container ${id}: ${failure}`);
}

function logIn(work: string): string {
  return join(work, 'runtime.log');
}
