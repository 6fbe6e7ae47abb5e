import type { Config } from '../../core/config/schema.ts';
import { cgroupDriver, isBootedBySystemd } from '../../host/systemd.ts';
import { type Finding, ok, warning } from '../../core/model/finding.ts';

/** The cgroup driver, and whether systemd runs the machine when it is the driver. */
export async function checkCgroupDriver({ runtime }: Config): Promise<Finding> {
  const subject = 'cgroup driver';
  const driver = await cgroupDriver(runtime);
  const chosen = runtime.cgroup_driver === 'auto' ? ' (runtime.cgroup_driver = "auto")' : '';
  if (driver === 'cgroupfs') return ok(subject, `cgroupfs${chosen}`);
  if (await isBootedBySystemd()) return ok(subject, `systemd${chosen}; each pod has a scope`);
  return warning(
    subject,
    'systemd does not run this machine; slices are plain cgroups',
    'set runtime.cgroup_driver = "cgroupfs", and the same cgroupDriver in the kubelet unless it requests it from the server',
  );
}
