import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

interface Mount {
  target: string;
  fstype: string;
  /** Options of the file system, comma-separated. */
  'fs-options': string;
}

/** A mounted cgroup hierarchy. */
export interface CgroupMount {
  version: 1 | 2;
  target: string;
  /** Whether this is a v1 hierarchy of that controller. */
  has: (controller: string) => boolean;
}

/** All mounts of this namespace, as findmnt(8) lists them. */
async function mounts(...options: string[]): Promise<Mount[]> {
  const columns = ['--json', '--list', '-o', 'TARGET,FSTYPE,FS-OPTIONS'];
  const { stdout } = await promisify(execFile)('findmnt', [...columns, ...options]);
  return (JSON.parse(stdout) as { filesystems: Mount[] }).filesystems;
}

/** Mount points below a directory, the outer ones first; one for each mount. */
export async function mountPointsBelow(directory: string): Promise<string[]> {
  const targets = (await mounts()).map(({ target }) => target);
  return targets.filter((target) => target.startsWith(`${directory}/`)).sort();
}

/** Unmounts everything below a directory, lazily, the inner ones first. */
export async function unmountBelow(directory: string): Promise<void> {
  for (const target of (await mountPointsBelow(directory)).reverse())
    await promisify(execFile)('umount', ['-l', '--', target]);
}

/** Whether a path, which contains no links, is a mount point. */
export async function isMounted(path: string): Promise<boolean> {
  return (await mounts()).some(({ target }) => target === path);
}

/** The cgroup hierarchies that are mounted, each once. */
export async function cgroupMounts(): Promise<CgroupMount[]> {
  const found = new Map<string, CgroupMount>();
  for (const { target, fstype, 'fs-options': options } of await mounts('--types', 'cgroup,cgroup2')) {
    const names = options.split(',');
    const version = fstype === 'cgroup2' ? 2 : 1;
    found.set(target, { version, target, has: (controller) => version === 1 && names.includes(controller) });
  }
  return [...found.values()];
}

/** Whether a controller can be used: by its v1 hierarchy, else by v2. */
export async function hasCgroupController(name: string): Promise<boolean> {
  const hierarchies = await cgroupMounts();
  const unified = hierarchies.every(({ version }) => version === 2) ? hierarchies[0] : undefined;
  if (unified === undefined) return hierarchies.some(({ has }) => has(name));
  return (await readFile(`${unified.target}/cgroup.controllers`, 'utf8')).trim().split(' ').includes(name);
}
