import { connect } from 'node:net';

/**
 * Whether something accepts connections on a unix socket. To be asked before a gRPC client is: after a refused connection
 * that waits a second and more, and shares the wait with other clients of the process.
 */
export function accepts(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(path);
  socket.once('connect', () => {
    socket.destroy();
    resolve(true);
  });
  socket.once('error', () => {
    resolve(false);
  });
  return promise;
}
