import { rmdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { CriError, StatusCode, unavailable } from '../../core/model/errors.ts';
import { forEach } from '../../utils/async/for-each.ts';
import { isErrno } from '../../utils/errors.ts';
import { CommandError, run } from '../processes/run.ts';
import { pathOf } from './files.ts';
import { cgroupTree, hasTooLongPaths, killCgroup } from './processes.ts';

/**
 * Removes the cgroups at `directories` (one cgroup's directory in each hierarchy) with everything below. No error when
 * nothing is there.
 * @throws CriError UNAVAILABLE when one is still in use after `timeoutMs`; the call may be repeated.
 */
export async function removeCgroup(directories: readonly string[], timeoutMs = 2000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  await forEach(directories, directories.length, async (top) => {
    const tree = cgroupTree(top);
    if (hasTooLongPaths(tree)) await removeBelow(top);
    for (const directory of tree.reverse()) {
      while (!(await removed(directory))) {
        if (performance.now() > deadline) throw unavailable(`cgroup ${directory} is still in use`);
        await sleep(10);
      }
    }
  });
}

/**
 * Kills the processes in the cgroups at `directories` and removes them, repeatedly until they are gone: a process that
 * enters meanwhile is killed, and none can enter afterwards. No error when nothing is there.
 * @throws CriError UNAVAILABLE when something is left after `timeoutMs`; the call may be repeated.
 */
export async function destroyCgroup(directories: readonly string[], timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    await killCgroup(directories, timeoutMs);
    try {
      await removeCgroup(directories, 100);
      return;
    } catch (error) {
      const inUse = error instanceof CriError && error.code === StatusCode.UNAVAILABLE;
      if (!inUse || performance.now() > deadline) throw error;
    }
  }
}

/** By find(1), which works on open directories. What is in use stays, and fails afterwards. */
async function removeBelow(top: string): Promise<void> {
  await run('find', [top, '-mindepth', '1', '-depth', '-type', 'd', '-delete'], { holds: 'nothing' }).catch(
    (error: unknown) => {
      if (!(error instanceof CommandError)) throw error;
    },
  );
}

async function removed(directory: string): Promise<boolean> {
  try {
    await rmdir(pathOf(directory));
  } catch (error) {
    if (isErrno(error, 'EBUSY', 'ENOTEMPTY')) return false;
    if (!isErrno(error, 'ENOENT', 'ENODEV')) throw error;
  }
  return true;
}
