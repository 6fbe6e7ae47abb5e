import { access } from 'node:fs/promises';

/** Whether systemd runs this machine (sd_booted(3)). */
export async function isBootedBySystemd(): Promise<boolean> {
  return access('/run/systemd/system').then(
    () => true,
    () => false,
  );
}
