import { existsSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { forEach } from '../../utils/async/for-each.ts';
import { isErrno } from '../../utils/errors.ts';
import { cgroupHierarchies } from './hierarchies.ts';
import type { CgroupHierarchy } from './hierarchies.ts';

/**
 * Creates a cgroup and its missing parents in every hierarchy, ready for processes: v1 cpusets get their parent's CPUs
 * and memory nodes, v2 ancestors delegate their controllers as far as the kernel allows. No error when it exists.
 * `path` has passed {@link checkCgroupPath}.
 * @param among the hierarchies, by default all.
 */
export async function createCgroup(path: string, among?: readonly CgroupHierarchy[]): Promise<void> {
  const hierarchies = among ?? (await cgroupHierarchies());
  // When one fails, the others finish before the caller rolls back.
  await forEach(hierarchies, hierarchies.length, async ({ version, mountPoint, controllers }) => {
    let parent = mountPoint;
    for (const name of path.split('/').filter((part) => part !== '')) {
      const directory = `${parent}/${name}`;
      if (version === 2) await passControllersDown(parent);
      if (!existsSync(directory)) await make(directory);
      if (controllers.includes('cpuset')) await inheritCpuset(parent, directory);
      parent = directory;
    }
  });
}

async function make(directory: string): Promise<void> {
  await mkdir(directory).catch((error: unknown) => {
    if (!isErrno(error, 'EEXIST')) throw error;
  });
}

async function inheritCpuset(parent: string, directory: string): Promise<void> {
  for (const file of ['cpuset.cpus', 'cpuset.mems']) {
    if (readFileSync(`${directory}/${file}`, 'utf8').trim() !== '') continue;
    await writeFile(`${directory}/${file}`, readFileSync(`${parent}/${file}`));
  }
}

async function passControllersDown(parent: string): Promise<void> {
  const available = words(`${parent}/cgroup.controllers`);
  const passed = new Set(words(`${parent}/cgroup.subtree_control`));
  for (const controller of available) {
    if (passed.has(controller)) continue;
    // EBUSY where a cgroup contains processes itself, ENOTSUP for realtime: the controller stays disabled, as in
    // systemd.
    await writeFile(`${parent}/cgroup.subtree_control`, `+${controller}`).catch(() => undefined);
  }
}

function words(path: string): string[] {
  return readFileSync(path, 'utf8')
    .split(/\s+/)
    .filter((word) => word !== '');
}
