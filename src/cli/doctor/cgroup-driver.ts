import type { Config } from '../../core/config/schema.ts';
import { isBootedBySystemd } from '../../host/systemd.ts';
import { type Finding, ok, warning } from './finding.ts';

/** Who makes the pods' cgroups, and whether systemd, where it is to, runs the machine. */
export async function checkCgroupDriver({ runtime }: Config): Promise<Finding> {
  const subject = 'cgroup driver';
  if (runtime.cgroup_driver === 'cgroupfs') return ok(subject, 'cgroupfs');
  if (await isBootedBySystemd()) return ok(subject, 'systemd; each pod gets a scope');
  return warning(
    subject,
    'systemd does not run this machine: pods are below their slices by path alone',
    'set runtime.cgroup_driver = "cgroupfs", and let the kubelet ask or have the same cgroupDriver',
  );
}
