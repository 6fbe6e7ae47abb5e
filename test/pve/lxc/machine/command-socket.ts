import { connect } from 'node:net';

/** Commands of liblxc's monitor, as its protocol numbers them. */
const GET_STATE = 3;
const GET_INIT_PID = 4;
const GET_LIMITING_CGROUP = 19;
const RUNNING = 2;
const EPERM = -1;
/** How often a command is sent that the monitor refuses. */
const TRIES = 10;
/** The longest name of an abstract socket, without the zero before it. */
const LONGEST_NAME = 107;

/** The name of a guest's command socket, `/proc/net/unix` shows it with `@` in front. */
function socketName(lxcPath: string, vmid: number): string {
  return `${lxcPath}/${vmid}/command`;
}

/** Whether a directory of guests is short enough to be in the names of their command sockets. */
export function fitsSocket(lxcPath: string): boolean {
  return socketName(lxcPath, 999_999_999).length <= LONGEST_NAME;
}

interface Answer {
  readonly result: number;
  /** The pointer's place in the answer, which holds small values. */
  readonly value: number;
  readonly data: Buffer;
}

/**
 * Asks the monitor of a guest, again while it refuses: it demands credentials of a connection a moment after it has accepted
 * it, and takes a command that arrives between the two for a stranger's.
 * @throws Error when there is no monitor, it hangs up, or it refuses each time.
 */
async function ask(lxcPath: string, vmid: number, command: number, data = ''): Promise<Answer> {
  for (let tries = 0; tries < TRIES; tries += 1) {
    const answer = await send(lxcPath, vmid, command, data);
    if (answer.result !== EPERM) return answer;
  }
  throw new Error(`the monitor refused command ${command}: EPERM`);
}

/**
 * Sends one command. Both sides exchange C structures: command or result, length of the data, a pointer; then the data.
 * @throws Error when there is no monitor, or it hangs up.
 */
function send(lxcPath: string, vmid: number, command: number, data: string): Promise<Answer> {
  const request = Buffer.alloc(16);
  request.writeInt32LE(command);
  request.writeInt32LE(data === '' ? 0 : data.length + 1, 4);
  return new Promise((resolve, reject) => {
    const socket = connect({ path: `\0${socketName(lxcPath, vmid)}` });
    const chunks: Buffer[] = [];
    socket.once('connect', () =>
      socket.write(data === '' ? request : Buffer.concat([request, Buffer.from(`${data}\0`)])),
    );
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('short read on command socket')));
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      const all = Buffer.concat(chunks);
      if (all.length < 16 || all.length < 16 + all.readInt32LE(4)) return;
      resolve({
        result: all.readInt32LE(),
        value: all.readInt32LE(8),
        data: all.subarray(16, 16 + all.readInt32LE(4)),
      });
      socket.destroy();
    });
  });
}

/** Whether the guest's monitor says that it runs; false also when there is no monitor. */
export async function isRunning(lxcPath: string, vmid: number): Promise<boolean> {
  return ask(lxcPath, vmid, GET_STATE).then(
    ({ result, value }) => result === RUNNING || value === RUNNING,
    () => false,
  );
}

/**
 * The process id of the guest's init; 0 when it has none.
 * @throws Error when there is no monitor.
 */
export async function initPid(lxcPath: string, vmid: number): Promise<number> {
  return (await ask(lxcPath, vmid, GET_INIT_PID)).value;
}

/**
 * The cgroup that limits the guest, as Proxmox asks for it before it reads usage: a path from the root of the hierarchy.
 * @throws Error when there is no monitor.
 */
export async function limitingCgroup(lxcPath: string, vmid: number): Promise<string> {
  const { data } = await ask(lxcPath, vmid, GET_LIMITING_CGROUP, 'memory');
  return `/${data.toString('utf8').replace(/\0.*$/s, '').replace(/^\//, '')}`;
}
