import { chmod, mkdir, rm, stat } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { dirname } from 'node:path';
import { failedPrecondition } from '../../core/model/errors.ts';
import { isErrno } from '../../utils/errors.ts';

/** Plugins that may be connected at once; more connections are closed. */
const MOST_PLUGINS = 128;

/**
 * Listens for plugins on a unix socket with mode 0600. A socket file without a listener is replaced.
 * @throws CriError FAILED_PRECONDITION when another runtime listens there, or the path is not a socket.
 */
export async function listenForPlugins(path: string, onPlugin: (socket: Socket) => void): Promise<Server> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await removeStale(path);
  const server = createServer(onPlugin);
  server.maxConnections = MOST_PLUGINS;
  const umask = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ path }, resolve);
    });
  } finally {
    process.umask(umask);
  }
  await chmod(path, 0o600);
  return server;
}

async function removeStale(path: string): Promise<void> {
  try {
    if (!(await stat(path)).isSocket())
      throw failedPrecondition(`nri.socket: ${path} exists and is not a socket; move it, or set another path`);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return;
    throw error;
  }
  if (await answers(path))
    throw failedPrecondition(`nri.socket: another runtime listens on ${path}; set another path, or "" for none`);
  await rm(path, { force: true });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    const done = (isAlive: boolean) => {
      socket.destroy();
      resolve(isAlive);
    };
    socket.once('connect', () => {
      done(true);
    });
    socket.once('error', () => {
      done(false);
    });
  });
}
