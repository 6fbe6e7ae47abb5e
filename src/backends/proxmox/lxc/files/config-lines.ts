import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { unavailable } from '../../../../core/model/errors.ts';
import { messageOf } from '../../../../utils/errors.ts';
import { run } from '../../../../host/processes/run.ts';

/** Seconds that another change of the configuration is waited for, as Proxmox does. */
const LOCK_SECONDS = 10;
const LIMIT_MS = 30_000;

/** Where Proxmox keeps a container's configuration (pct.conf(5)). */
export function guestConfigPath(node: string, vmid: number): string {
  return `/etc/pve/nodes/${node}/lxc/${String(vmid)}.conf`;
}

/**
 * Adds lines to the configuration of a new guest, for keys that the API sets for nobody, or for root@pam alone. It holds the
 * lock that Proxmox takes for a change, and appends: the cluster file system writes that in one step. No effect when the file
 * has them already.
 * @param addition path of a new file for the lines.
 * @throws CriError UNAVAILABLE when the file is missing, locked, or read-only, as without quorum.
 */
export async function addConfigLines(node: string, vmid: number, lines: string, addition: string): Promise<void> {
  const path = guestConfigPath(node, vmid);
  const lock = `/run/lock/lxc/pve-config-${String(vmid)}.lock`;
  try {
    if ((await readFile(path, 'utf8')).includes(lines)) return;
    await writeFile(addition, lines, { mode: 0o600 });
    await mkdir(dirname(lock), { recursive: true });
    const append = [
      'dd',
      `if=${addition}`,
      `of=${path}`,
      'bs=64K',
      'oflag=append',
      'conv=notrunc,nocreat',
      'status=none',
    ];
    await run('flock', ['--wait', String(LOCK_SECONDS), lock, ...append], { timeoutMs: LIMIT_MS });
  } catch (error) {
    throw unavailable(`cannot complete ${path}: ${messageOf(error)}`, error);
  }
}
