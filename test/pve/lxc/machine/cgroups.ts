import { readdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';

async function removeTree(directory: string): Promise<void> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) if (entry.isDirectory()) await removeTree(join(directory, entry.name));
  await rmdir(directory).catch(() => undefined);
}

/** Removes the empty cgroups that an ended container left, as the node does before a start; those in use stay. */
export async function removeCgroups(vmid: number): Promise<void> {
  for (const parent of ['lxc', 'lxc.monitor']) await removeTree(`/sys/fs/cgroup/${parent}/${vmid}`);
}
