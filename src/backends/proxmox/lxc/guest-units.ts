import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../../../host/processes/run.ts';
import { isBootedBySystemd } from '../../../host/systemd.ts';

/** Milliseconds for the units of an ended guest; their last hook takes a second or two. */
const LIMIT_MS = 30_000;
const FIRST_MS = 50;
const LONGEST_MS = 500;
const GROWTH = 1.5;
const SYSTEMCTL_MS = 30_000;
/** Values of ActiveState (systemctl(1)) of a unit that does nothing any more. */
const ENDED = ['inactive', 'failed'];

/**
 * Waits until the units by which Proxmox runs a container have ended, for a while: until then its hooks still unmount what bears
 * the VMID, and systemd swallows a start. Nothing to wait for where systemd does not run the machine.
 * @returns those that have not.
 * @throws CommandError when systemd does not answer.
 */
export async function endOfUnits(vmid: number): Promise<string[]> {
  if (!(await isBootedBySystemd())) return [];
  // With `debug`, the guest is run by the second.
  const units = ['pve-container', 'pve-container-debug'].map((name) => `${name}@${String(vmid)}.service`);
  const deadline = performance.now() + LIMIT_MS;
  for (let pause = FIRST_MS; ; pause = Math.min(pause * GROWTH, LONGEST_MS)) {
    const states = await statesOf(units);
    const left = units.filter((_, index) => !ENDED.includes(states[index] ?? ''));
    if (left.length === 0 || performance.now() > deadline) return left;
    await sleep(pause);
  }
}

async function statesOf(units: readonly string[]): Promise<string[]> {
  const options = { timeoutMs: SYSTEMCTL_MS, holds: 'nothing' } as const;
  const { stdout } = await run('systemctl', ['show', '--property=ActiveState', '--value', ...units], options);
  return stdout.split('\n').filter((line) => line !== '');
}
