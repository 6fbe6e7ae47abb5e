import { setTimeout as sleep } from 'node:timers/promises';
import { unavailable } from '../../core/model/errors.ts';
import { readCgroupFile, writeCgroupFile } from './files.ts';

/** Asks the freezers of the cgroups at `directories` to freeze or thaw their processes; nothing where a cgroup has none. */
export async function setFrozen(directories: readonly string[], frozen: boolean): Promise<void> {
  for (const directory of directories) {
    for (const [file, text] of [
      [`${directory}/freezer.state`, frozen ? 'FROZEN' : 'THAWED'],
      [`${directory}/cgroup.freeze`, frozen ? '1' : '0'],
    ] as const) {
      // A look is far cheaper than a write, and says whether there is such a file as well.
      const now = readCgroupFile(file)?.trim();
      if (now !== undefined && now !== text) await writeCgroupFile(file, text);
    }
  }
}

/** Whether someone has asked one of these cgroups to freeze. */
export function isFrozen(directories: readonly string[]): boolean {
  return directories.some((directory) => {
    const state = readCgroupFile(`${directory}/freezer.state`)?.trim() ?? 'THAWED';
    return state !== 'THAWED' || readCgroupFile(`${directory}/cgroup.freeze`)?.trim() === '1';
  });
}

/**
 * Freezes every process in the cgroups at `directories` (one cgroup's directory in each hierarchy) and below, and returns when
 * none of them runs any more.
 * @throws CriError UNAVAILABLE when one does not freeze within `limitMs`, because a system call blocks it: all run on then.
 */
export async function freezeCgroup(directories: readonly string[], limitMs: number): Promise<void> {
  const deadline = performance.now() + limitMs;
  await setFrozen(directories, true);
  for (let waitMs = 1; !directories.every(hasFrozen); waitMs = Math.min(waitMs * 2, 20)) {
    if (performance.now() > deadline) {
      await setFrozen(directories, false);
      throw unavailable(`processes in ${directories[0] ?? 'no cgroup'} do not freeze within ${String(limitMs)} ms`);
    }
    await sleep(waitMs);
  }
}

/** v1 looks at the processes when its file is read; v2 reports when the last one has stopped. */
function hasFrozen(directory: string): boolean {
  const state = readCgroupFile(`${directory}/freezer.state`);
  if (state !== undefined) return state.trim() === 'FROZEN';
  const events = readCgroupFile(`${directory}/cgroup.events`);
  return events === undefined || !/^frozen 0$/m.test(events);
}
