import { mkdir, writeFile } from 'node:fs/promises';
import { unavailable } from '../../core/model/errors.ts';
import { isErrno, messageOf } from '../../utils/errors.ts';
import { cgroupHierarchies } from '../../host/cgroup/hierarchies.ts';
import { findNative } from '../../host/native/find.ts';
import { CommandError, run } from '../../host/processes/run.ts';

/** systemctl(1): the unit is not loaded. */
const NOT_LOADED = 5;
const LIMIT_MS = 60_000;

/** The name of a pod's scope. */
export function scopeName(sandboxId: string): string {
  return `proxmox-lxcri-${sandboxId}.scope`;
}

/**
 * Creates a pod's scope below a slice: a cgroup that systemd delegates (systemd's CGROUP_DELEGATION), so that it
 * enables all controllers on the path and leaves the cgroups inside alone. No error when it exists.
 * @param path the scope's cgroup path. @throws CriError UNAVAILABLE with systemd's message; the signal's reason.
 */
export async function startScope(
  sandboxId: string,
  { slice, path }: { slice: string; path: string },
  signal?: AbortSignal,
): Promise<void> {
  const unit = scopeName(sandboxId);
  if (await isActive(unit)) return;
  // Without the default limits of systemd's units; the kubelet's slice has the pod's.
  const properties = ['Delegate=yes', 'DefaultDependencies=no', 'TasksMax=infinity', 'TimeoutStopSec=5s'];
  const options = ['--scope', '--quiet', '--collect', `--unit=${unit}`, `--slice=${slice}`];
  options.push(`--description=Pod ${sandboxId}`, ...properties.map((property) => `--property=${property}`));
  try {
    // Its process keeps the scope, which systemd removes when it is empty; a pod without containers may have none.
    const { stdout } = await run('systemd-run', [...options, '--', findNative(), 'keep'], {
      timeoutMs: LIMIT_MS,
      signal,
    });
    await moveDown(Number(stdout.trim()), path);
  } catch (error) {
    await stopScope(sandboxId);
    signal?.throwIfAborted();
    throw unavailable(`systemd cannot create the scope of the pod: ${wordsOf(error)}`, error);
  }
}

/**
 * Stops a pod's scope with all its processes. No error when there is none. @throws CriError UNAVAILABLE with systemd's
 * message.
 */
export async function stopScope(sandboxId: string): Promise<void> {
  try {
    await run('systemctl', ['stop', '--quiet', scopeName(sandboxId)], { timeoutMs: LIMIT_MS });
  } catch (error) {
    if (error instanceof CommandError && error.exitCode === NOT_LOADED) return;
    throw unavailable(`systemd cannot stop the scope of the pod: ${wordsOf(error)}`, error);
  }
}

async function isActive(unit: string): Promise<boolean> {
  return run('systemctl', ['is-active', '--quiet', unit], { timeoutMs: LIMIT_MS }).then(
    () => true,
    () => false,
  );
}

/** With cgroup v2, a cgroup that delegates controllers cannot contain processes itself (cgroups(7)). */
async function moveDown(keeper: number, path: string): Promise<void> {
  for (const { version, mountPoint } of await cgroupHierarchies()) {
    if (version !== 2) continue;
    const directory = `${mountPoint}${path}/keeper`;
    try {
      await mkdir(directory);
      await writeFile(`${directory}/cgroup.procs`, String(keeper));
    } catch (error) {
      // Beside v1 controllers, systemd may not use this hierarchy.
      if (!isErrno(error, 'ENOENT')) throw error;
    }
  }
}

function wordsOf(error: unknown): string {
  return error instanceof CommandError && error.stderr.trim() !== '' ? error.stderr.trim() : messageOf(error);
}
