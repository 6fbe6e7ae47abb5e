import { rmdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { unavailable } from '../../core/model/errors.ts';
import { isErrno } from '../../utils/errors.ts';
import { cgroupTree } from './processes.ts';

/**
 * Removes the cgroups at `directories` (one cgroup's folder in each hierarchy) with everything below. No error when
 * nothing is there.
 * @throws CriError UNAVAILABLE when one is still in use after `timeoutMs`; the call may be repeated.
 */
export async function removeCgroup(directories: readonly string[], timeoutMs = 2000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  await Promise.all(
    directories.map(async (top) => {
      for (const directory of (await cgroupTree(top)).reverse()) {
        while (!(await removed(directory))) {
          if (Date.now() > deadline) throw unavailable(`cgroup ${directory} is still in use`);
          await sleep(10);
        }
      }
    }),
  );
}

async function removed(directory: string): Promise<boolean> {
  try {
    await rmdir(directory);
  } catch (error) {
    if (isErrno(error, 'EBUSY', 'ENOTEMPTY')) return false;
    if (!isErrno(error, 'ENOENT', 'ENODEV')) throw error;
  }
  return true;
}
