import { posix } from 'node:path';
import { isSliceName, slicePath } from '../../model/systemd-slice.ts';
import { invalidArgument } from '../../model/errors.ts';

/** Who makes the cgroups of pods: this server in the cgroup file system, or systemd. */
export type CgroupDriver = 'cgroupfs' | 'systemd';

/** The parent of pods whose request names none. */
export const defaultCgroupParents: Readonly<Record<CgroupDriver, string>> = {
  cgroupfs: '/proxmox-lxcri',
  systemd: 'proxmox-lxcri.slice',
};

/**
 * Refuses a cgroup parent that belongs to the other driver. With systemd, a slice may be given by its name or its path.
 * @throws CriError INVALID_ARGUMENT naming both drivers.
 */
export function checkCgroupParent(parent: string, driver: CgroupDriver, field: string): void {
  const written = JSON.stringify(parent);
  const remedy =
    'runtime.cgroup_driver here and cgroupDriver of the kubelet must be the same, "cgroupfs" (paths) or "systemd" (slices)';
  if (driver === 'cgroupfs') {
    if (parent.startsWith('/')) return;
    const what = isSliceName(parent) ? 'is a systemd slice' : 'is no absolute cgroup path';
    throw invalidArgument(field, `${written} ${what}, and the cgroup driver is "cgroupfs": ${remedy}`);
  }
  const name = posix.basename(parent);
  const isSlice = isSliceName(name) && (parent === name || parent === `/${name}` || parent === slicePath(name));
  if (!isSlice)
    throw invalidArgument(field, `${written} is no systemd slice, and the cgroup driver is "systemd": ${remedy}`);
}

/** The absolute cgroup path of a checked parent; a slice's is where systemd has it. */
export function cgroupParentPath(parent: string): string {
  const name = posix.basename(parent);
  return isSliceName(name) && (parent === name || parent === `/${name}`) ? slicePath(name) : parent;
}
