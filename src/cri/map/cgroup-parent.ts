import { posix } from 'node:path';
import { checkLine } from '../../core/lifecycle/checks.ts';
import { invalidArgument } from '../../core/model/errors.ts';
import type { PodSpec } from '../../core/model/pod-spec.ts';
import { isSliceName, slicePath } from '../../core/model/systemd-slice.ts';

/** The cgroup driver: this server in the cgroup filesystem, or systemd. */
type CgroupDriver = 'cgroupfs' | 'systemd';

/** The configuration of cgroups. */
export interface CgroupSettings {
  cgroupDriver: CgroupDriver;
  /** The parent of pods whose request has none; empty: the default of the driver. */
  cgroupParent: string;
}

const DEFAULTS: Readonly<Record<CgroupDriver, string>> = {
  cgroupfs: '/proxmox-lxcri',
  systemd: 'proxmox-lxcri.slice',
};
const FIELD = 'config.linux.cgroup_parent';

/**
 * The parent of a pod's cgroup. With systemd, a slice may be specified by its name or its path.
 * @throws CriError INVALID_ARGUMENT naming both drivers for a parent that belongs to the other one.
 */
export function cgroupParent(asked: string, settings: CgroupSettings): PodSpec['cgroupParent'] {
  checkLine(FIELD, asked);
  const driver = settings.cgroupDriver;
  const parent = asked || settings.cgroupParent || DEFAULTS[driver];
  const written = JSON.stringify(parent);
  const remedy =
    'runtime.cgroup_driver and cgroupDriver of the kubelet must match: "cgroupfs" (paths) or "systemd" (slices)';
  if (driver === 'cgroupfs') {
    if (parent.startsWith('/')) return { asked, path: parent };
    const what = isSliceName(parent) ? 'is a systemd slice' : 'is not an absolute cgroup path';
    throw invalidArgument(FIELD, `${written} ${what}, but the cgroup driver is "cgroupfs"; ${remedy}`);
  }
  const name = posix.basename(parent);
  const path = isSliceName(name) ? slicePath(name) : undefined;
  if (path === undefined || (parent !== name && parent !== `/${name}` && parent !== path)) {
    throw invalidArgument(FIELD, `${written} is not a systemd slice, but the cgroup driver is "systemd"; ${remedy}`);
  }
  return { asked, path };
}
