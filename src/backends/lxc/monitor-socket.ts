import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { isErrno } from '../../utils/errors.ts';

/** Bytes of `sun_path` in unix(7). */
const addressLimit = 108;

/**
 * The abstract address on which a guest's monitor listens while it lives: `\0<lxcpath>/<name>/command`, or a FNV-1a hash of
 * folder and name where that is too long, as liblxc makes it.
 */
export function monitorAddress(lxcPath: string, name: string): string {
  const plain = `${lxcPath}/${name}/command`;
  if (Buffer.byteLength(plain) < addressLimit - 2) return `\0${plain}`;
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(`${lxcPath}/${name}`)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return `\0lxc/${hash.toString(16).padStart(16, '0')}/command`;
}

/**
 * Connects to a monitor; the connection says nothing and ends when the monitor does. Undefined when none lives.
 * @throws the system's error when it cannot be told.
 */
export function connectToMonitor(lxcPath: string, name: string): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: monitorAddress(lxcPath, name) });
    socket.once('connect', () => {
      socket.removeAllListeners('error');
      socket.on('error', () => undefined); // a reset ends the connection as well: 'close' follows
      socket.resume();
      resolve(socket);
    });
    socket.once('error', (error) => {
      // A reset: it ended while the connection waited to be taken.
      if (isErrno(error, 'ECONNREFUSED', 'ECONNRESET', 'ENOENT')) resolve(undefined);
      else reject(error);
    });
  });
}
