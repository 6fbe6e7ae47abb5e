import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { isErrno } from '../../utils/errors.ts';
import { cgroupProcesses } from '../../host/cgroup/processes.ts';
import type { GuestCgroups } from './guest-cgroups.ts';
import { connectToMonitor } from './monitor-socket.ts';

/**
 * Waits until liblxc's monitor of a guest whose processes are dead has run its hooks and ended; kills it after `graceMs`.
 * The containers' monitors are left alone. No error when there is none.
 */
export async function endMonitor(lxcPath: string, id: string, cgroups: GuestCgroups, graceMs = 5000): Promise<void> {
  const socket = await connectToMonitor(lxcPath, id);
  if (socket !== undefined) {
    const gone = new Promise<void>((resolve) =>
      socket.once('close', () => {
        resolve();
      }),
    );
    await Promise.race([gone, sleep(graceMs, undefined, { ref: false })]);
    socket.destroy();
  }
  const deadline = Date.now() + graceMs;
  for (;;) {
    const pids = await monitorsOf(id, cgroups);
    if (pids.length === 0) return;
    if (Date.now() > deadline) pids.forEach(kill);
    await sleep(5);
  }
}

/** Process ids of liblxc's monitors of a guest, which it names `[lxc monitor] <lxcpath> <name>`; none when it has ended. */
export async function monitorsOf(
  id: string,
  { monitorDirectories, liblxcDirectories }: GuestCgroups,
): Promise<number[]> {
  const pids = await cgroupProcesses([...monitorDirectories, ...liblxcDirectories]);
  const titles = await Promise.all(pids.map((pid) => readFile(`/proc/${String(pid)}/cmdline`, 'utf8').catch(() => '')));
  return pids.filter((_, index) => {
    const title = titles[index] ?? '';
    return title.startsWith('[lxc monitor] ') && title.includes(` ${id}`);
  });
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (!isErrno(error, 'ESRCH')) throw error;
  }
}
