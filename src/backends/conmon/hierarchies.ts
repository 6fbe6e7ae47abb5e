import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../../utils/errors.ts';

/** A mounted cgroup hierarchy: one a controller (group) with cgroup v1, a single one with v2. */
export interface Hierarchy {
  version: 1 | 2;
  mountPoint: string;
  /** v1: controllers and `name=…`; v2: empty, any. */
  controllers: string[];
}

/** The hierarchies in the text of /proc/self/mountinfo (proc_pid_mountinfo(5)); a mount point named twice counts once. */
export function parseHierarchies(mountinfo: string): Hierarchy[] {
  const found = new Map<string, Hierarchy>();
  for (const line of mountinfo.split('\n')) {
    const [before, after] = line.split(' - ', 2);
    const mountPoint = before?.split(' ')[4];
    const [type, , options] = after?.split(' ') ?? [];
    if (mountPoint === undefined || (type !== 'cgroup' && type !== 'cgroup2')) continue;
    const path = mountPoint.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
    const controllers = type === 'cgroup' ? (options ?? '').split(',').filter((option) => option !== 'rw') : [];
    found.set(path, { version: type === 'cgroup' ? 1 : 2, mountPoint: path, controllers });
  }
  return [...found.values()];
}

/** The hierarchies mounted in this process's mount namespace. */
export async function readHierarchies(): Promise<Hierarchy[]> {
  return parseHierarchies(await readFile('/proc/self/mountinfo', 'utf8'));
}

/** The folders of `cgroup` (absolute below the hierarchies' roots) that exist, with their hierarchies. */
export async function findCgroup(
  hierarchies: readonly Hierarchy[],
  cgroup: string,
): Promise<{ hierarchy: Hierarchy; path: string }[]> {
  const folders = hierarchies.map((hierarchy) => ({ hierarchy, path: join(hierarchy.mountPoint, cgroup) }));
  const there = await Promise.all(folders.map(({ path }) => exists(path)));
  return folders.filter((_, index) => there[index]);
}

/**
 * Makes `cgroup` in every hierarchy and returns the `cgroup.procs` files through which a process enters it. cpuset (v1)
 * is left out: a new one admits nobody, and where conmon runs matters little.
 */
export async function makeCgroup(hierarchies: readonly Hierarchy[], cgroup: string): Promise<string[]> {
  const paths = hierarchies
    .filter(({ controllers }) => !controllers.includes('cpuset'))
    .map(({ mountPoint }) => join(mountPoint, cgroup));
  await Promise.all(paths.map((path) => mkdir(path, { recursive: true })));
  return paths.map((path) => join(path, 'cgroup.procs'));
}

/** True for the path of a cgroup that is not a hierarchy's root and leads nowhere else. */
export function isCgroupPath(path: string): boolean {
  return /^(\/[^/\0\n]+)+$/.test(path) && !path.split('/').some((part) => part === '.' || part === '..');
}

/** Writes to a cgroup file; false when the file or its cgroup is not there. */
export async function writeCgroupFile(path: string, text: string): Promise<boolean> {
  try {
    if (!(await exists(path))) return false;
    await writeFile(path, text, { flag: 'r+' });
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENODEV')) return false;
    throw new Error(`cannot write ${JSON.stringify(text)} to ${path}`, { cause: error });
  }
}

/** The text of a cgroup file, or undefined when the file or its cgroup is not there. */
export async function readCgroupFile(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENODEV', 'EOPNOTSUPP')) return undefined;
    throw error;
  }
}

/** True when something is at this path. */
export async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}
