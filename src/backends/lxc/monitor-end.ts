import { setTimeout as sleep } from 'node:timers/promises';
import { cgroupProcesses, killCgroup } from '../../host/cgroup/processes.ts';
import { readAliveFifo } from '../alive-fifo.ts';
import type { LxcCgroups } from './lxc-cgroups.ts';

/**
 * Waits until liblxc's monitor of an LXC container without processes has run its hooks and exited; kills it after
 * `graceMs`. No error when there is none.
 * @param alive the FIFO that it keeps open.
 */
export async function endMonitor(alive: string, { liblxcDirectories }: LxcCgroups, graceMs = 5000): Promise<void> {
  if (cgroupProcesses(liblxcDirectories).length === 0) return;
  const stream = await readAliveFifo(alive);
  if (stream !== undefined) {
    const gone = new Promise<void>((resolve) =>
      stream.once('close', () => {
        resolve();
      }),
    );
    stream.resume();
    await Promise.race([gone, sleep(graceMs, undefined, { ref: false })]);
    stream.destroy();
  }
  await killCgroup(liblxcDirectories);
}
