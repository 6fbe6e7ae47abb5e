import { setTimeout as sleep } from 'node:timers/promises';
import { cgroupProcesses, killCgroup } from '../../host/cgroup/processes.ts';
import { readAliveFifo } from '../alive-fifo.ts';
import type { GuestCgroups } from './guest-cgroups.ts';

/**
 * Waits until liblxc's monitor of a guest whose processes are dead has run its hooks and ended; kills it after `graceMs`.
 * No error when there is none.
 * @param alive the FIFO that it holds open.
 */
export async function endMonitor(alive: string, { liblxcDirectories }: GuestCgroups, graceMs = 5000): Promise<void> {
  if ((await cgroupProcesses(liblxcDirectories)).length === 0) return;
  const stream = await readAliveFifo(alive);
  if (stream !== undefined) {
    const gone = new Promise<void>((resolve) =>
      stream.once('close', () => {
        resolve();
      }),
    );
    await Promise.race([gone, sleep(graceMs, undefined, { ref: false })]);
    stream.destroy();
  }
  await killCgroup(liblxcDirectories);
}
