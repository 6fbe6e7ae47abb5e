import { access } from 'node:fs/promises';

/** Whether systemd runs this machine (sd_booted(3)). */
export async function isBootedBySystemd(): Promise<boolean> {
  return access('/run/systemd/system').then(
    () => true,
    () => false,
  );
}

/**
 * The creator of pods' cgroups. "auto" follows the configured parent, if any, else whether systemd runs this machine.
 */
export async function cgroupDriver(runtime: {
  cgroup_driver: 'auto' | 'cgroupfs' | 'systemd';
  cgroup_parent: string;
}): Promise<'cgroupfs' | 'systemd'> {
  const { cgroup_driver: driver, cgroup_parent: parent } = runtime;
  if (driver !== 'auto') return driver;
  const bySystemd = parent === '' ? await isBootedBySystemd() : !parent.startsWith('/');
  return bySystemd ? 'systemd' : 'cgroupfs';
}
