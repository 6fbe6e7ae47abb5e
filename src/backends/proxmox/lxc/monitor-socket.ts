import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { isErrno } from '../../../utils/errors.ts';

/** Milliseconds for liblxc's monitor to run Proxmox's hooks after the guest's end. */
const MONITOR_MS = 10_000;

/**
 * A connection to the command socket of liblxc's monitor of a guest, which ends with the monitor; undefined when the guest does
 * not run. The socket is an abstract one (unix(7)) in the node's network namespace.
 * @throws the system's error when this is unknown.
 */
export function connectMonitor(vmid: number): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: `\0/var/lib/lxc/${String(vmid)}/command` });
    socket.once('connect', () => {
      resolve(socket.on('error', () => undefined).resume());
    });
    socket.once('error', (error) => {
      if (isErrno(error, 'ECONNREFUSED', 'ENOENT')) resolve(undefined);
      else reject(error);
    });
  });
}

/** Waits until liblxc's monitor of a guest without processes has ended, for a while. */
export async function endOf(socket: Socket): Promise<void> {
  const gone = new Promise<void>((resolve) => {
    socket.once('close', () => {
      resolve();
    });
  });
  await Promise.race([gone, sleep(MONITOR_MS, undefined, { ref: false })]);
  socket.destroy();
}
