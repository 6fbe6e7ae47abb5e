import { mkdir } from 'node:fs/promises';
import { unavailable } from '../../core/model/errors.ts';
import { cgroupHierarchies } from '../../host/cgroup/hierarchies.ts';
import type { CgroupHierarchy } from '../../host/cgroup/hierarchies.ts';
import { findNative } from '../../host/native/find.ts';
import { findProgram } from '../../host/processes/programs.ts';
import type { RunnerPaths } from './paths.ts';

/** Paths of the runner's programs, and the machine's cgroup hierarchies. */
export interface Prepared {
  runtime: string;
  conmon: string;
  native: string;
  hierarchies: readonly CgroupHierarchy[];
}

/** The longest state directory that leaves room for the socket `tmp/conmon-term.XXXXXX` in a unix socket's address. */
const STATE_DIR_LIMIT = 80;

/** Makes the runner's directories and finds its programs. @throws CriError UNAVAILABLE naming the setting to correct. */
export async function prepare(
  { stateDir, ociRuntime, conmon }: { stateDir: string; ociRuntime: string; conmon: string },
  { containers, exits, runtimeRoot, temporary }: RunnerPaths,
): Promise<Prepared> {
  if (Buffer.byteLength(stateDir) > STATE_DIR_LIMIT) {
    throw unavailable(`state: ${stateDir} is too long for its sockets; use at most ${String(STATE_DIR_LIMIT)} bytes`);
  }
  for (const directory of [containers, exits, runtimeRoot, temporary]) {
    await mkdir(directory, { recursive: true, mode: 0o700 });
  }
  return {
    runtime: await findProgram(ociRuntime, 'runtime.oci_runtime'),
    conmon: await findProgram(conmon, 'runtime.conmon'),
    native: findNative(),
    hierarchies: await cgroupHierarchies(),
  };
}
