import { chmod, chown, mkdir, readFile, readlink, rm, stat } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { dirname } from 'node:path';
import { failedPrecondition } from '../core/model/errors.ts';
import { isErrno } from '../utils/errors.ts';

/** The first file descriptor that systemd passes (sd_listen_fds(3)). */
const FIRST_ACTIVATED_FD = 3;
/** sun_path of a unix socket has 108 bytes including the terminating NUL (unix(7)). */
const LONGEST_SOCKET_PATH = 107;

export interface ListenOptions {
  path: string;
  /** Group that owns the socket. */
  group: number;
  onConnection: (socket: Socket) => void;
}

/**
 * Listens on a unix socket with mode 0660, or on the one that systemd passed by socket activation. A socket file without a
 * listener is replaced.
 * @throws CriError FAILED_PRECONDITION when another server listens there, the path is not a socket, or systemd passed another.
 */
export async function listen(options: ListenOptions): Promise<Server> {
  const server = createServer({ allowHalfOpen: false }, options.onConnection);
  if (isActivated()) {
    await checkPassed(options.path);
    await started(server, () => server.listen({ fd: FIRST_ACTIVATED_FD }));
    return server;
  }
  const { path } = options;
  if (Buffer.byteLength(path) > LONGEST_SOCKET_PATH) {
    throw failedPrecondition(
      `grpc.listen: ${path} exceeds the maximum of ${String(LONGEST_SOCKET_PATH)} bytes for a socket path`,
    );
  }
  await makeDirectories(dirname(path));
  await removeStale(path);
  const umask = process.umask(0o117);
  try {
    await started(server, () => server.listen({ path }));
  } finally {
    process.umask(umask);
  }
  await chown(path, 0, options.group);
  await chmod(path, 0o660);
  return server;
}

/** Creates the missing directories one by one: below /proc the recursive mkdir of Node.js never returns. */
async function makeDirectories(directory: string): Promise<void> {
  let path = '';
  for (const name of directory.split('/').filter((part) => part !== '')) {
    path += `/${name}`;
    try {
      await mkdir(path, { mode: 0o711 });
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) throw error;
    }
  }
}

/** Whether systemd passed this process a listening socket (sd_listen_fds(3): LISTEN_PID and LISTEN_FDS). */
function isActivated(): boolean {
  return process.env['LISTEN_PID'] === String(process.pid) && Number(process.env['LISTEN_FDS'] ?? 0) >= 1;
}

/** @throws CriError FAILED_PRECONDITION when the socket that systemd passed has another path. */
async function checkPassed(path: string): Promise<void> {
  const passed = await pathOfSocket(FIRST_ACTIVATED_FD);
  if (passed === undefined || (await isSame(passed, path))) return;
  throw failedPrecondition(
    `grpc.listen: systemd passed ${passed}, not ${path}; set ListenStream= of the socket unit to the same path, ` +
      'or disable that unit',
  );
}

/** The path of a unix socket by its descriptor (proc_net_unix(5)): Node.js knows none of what it has not bound itself. */
async function pathOfSocket(descriptor: number): Promise<string | undefined> {
  const inode = /^socket:\[(\d+)\]$/.exec(await readlink(`/proc/self/fd/${String(descriptor)}`))?.[1];
  const lines = (await readFile('/proc/self/net/unix', 'utf8')).split('\n');
  // Num RefCount Protocol Flags Type St Inode Path
  const fields = lines.map((line) => /^\S+: (?:\S+ +){5}(\d+) (\/.*)$/.exec(line));
  return fields.find((field) => field?.[1] === inode)?.[2];
}

/** Whether two paths are of one file. */
async function isSame(one: string, other: string): Promise<boolean> {
  if (one === other) return true;
  const [a, b] = await Promise.all([one, other].map((path) => stat(path).catch(() => undefined)));
  return a !== undefined && a.ino === b?.ino && a.dev === b.dev;
}

async function removeStale(path: string): Promise<void> {
  try {
    if (!(await stat(path)).isSocket()) {
      throw failedPrecondition(`grpc.listen: ${path} exists and is not a socket; move it, or set another path`);
    }
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return;
    throw error;
  }
  if (await answers(path)) {
    throw failedPrecondition(`grpc.listen: another server listens on ${path}; stop it first, or set another path`);
  }
  await rm(path, { force: true });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    const done = (alive: boolean) => {
      socket.destroy();
      resolve(alive);
    };
    socket.once('connect', () => {
      done(true);
    });
    socket.once('error', () => {
      done(false);
    });
  });
}

function started(server: Server, start: () => unknown): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.once('listening', () => {
      server.off('error', reject);
      resolve();
    });
    start();
  });
}
