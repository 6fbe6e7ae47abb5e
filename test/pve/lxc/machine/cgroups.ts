import { readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** How long a container may take to stop still, and how often it is looked at, in milliseconds. */
const FREEZING = 30_000;
const LOOK = 10;

async function removeTree(directory: string): Promise<void> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) if (entry.isDirectory()) await removeTree(join(directory, entry.name));
  await rmdir(directory).catch(() => undefined);
}

/** Removes the empty cgroups that an ended container left, as the node does before a start; those in use stay. */
export async function removeCgroups(vmid: number): Promise<void> {
  for (const parent of ['lxc', 'lxc.monitor']) await removeTree(`/sys/fs/cgroup/${parent}/${vmid}`);
}

function whenGone(error: unknown): undefined {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== 'ENOENT' && code !== 'ENODEV') throw error;
}

/**
 * Has the processes of a cgroup stand still, or go on; those of a guest that ends meanwhile are nothing to do.
 * @param cgroup from the root of the hierarchy
 * @throws Error when they do not stand still in time.
 */
export async function freeze(cgroup: string, still: boolean): Promise<void> {
  const directory = `/sys/fs/cgroup${cgroup}`;
  await writeFile(`${directory}/cgroup.freeze`, still ? '1' : '0').catch(whenGone);
  for (const end = performance.now() + FREEZING; still; await sleep(LOOK)) {
    const events = await readFile(`${directory}/cgroup.events`, 'utf8').catch(whenGone);
    if (events === undefined || /^frozen 1$/m.test(events)) return;
    if (performance.now() > end) throw new Error(`the processes of ${cgroup} do not stand still`);
  }
}
