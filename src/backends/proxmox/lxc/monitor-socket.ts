import { connect, type Socket } from 'node:net';
import { isErrno } from '../../../utils/errors.ts';

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
