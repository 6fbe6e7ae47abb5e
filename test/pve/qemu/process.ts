import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { environment } from '../lxc/machine/tool.ts';
import { livingPid } from './machine/proc.ts';
import type { Scope } from './machine/scope.ts';
import type { EventSocket } from './monitor/events.ts';

/** How often a process that ends is looked at, in milliseconds. */
const LOOK_MS = 20;
/** How long a machine that is off may take to end when it is told to, in milliseconds. */
const KILL_MS = 60_000;
/** Enters a cgroup before the program begins: its threads are all in it. */
const ENTER = 'echo $$ >"$0/cgroup.procs" && umask 077 && exec "$@"';

/** How a machine is started. */
export interface Start {
  readonly vmid: number;
  /** The program and its arguments; it becomes a daemon. */
  readonly command: readonly string[];
  /** Where it writes its process id. */
  readonly pidFile: string;
  readonly scope: Scope;
  readonly events: EventSocket;
  /** Milliseconds until it must be a daemon. */
  readonly timeout: number;
  /** Gets what it prints. */
  readonly log: (line: string) => void;
}

/** The process of one machine. */
export class QemuProcess {
  readonly pid: number;
  /** Milliseconds since the epoch. */
  readonly since = Date.now();
  /** Resolves when the process is gone. */
  readonly ended: Promise<void>;
  readonly #pidFile: string;

  private constructor(pid: number, pidFile: string, ended: Promise<void>) {
    this.pid = pid;
    this.#pidFile = pidFile;
    this.ended = ended;
  }

  /** Whether it runs: a process that somebody has killed does not, from then on. */
  get alive(): boolean {
    return livingPid(this.#pidFile) === this.pid;
  }

  /** Sends a signal, as long as it is there. */
  kill(signal: NodeJS.Signals): void {
    if (this.alive) process.kill(this.pid, signal);
  }

  /** Waits until it is gone. @param timeout milliseconds. @returns whether it is. */
  async gone(timeout: number, signal?: AbortSignal): Promise<boolean> {
    const late = sleep(timeout, undefined, { ref: false, ...(signal && { signal }) }).catch(() => undefined);
    await Promise.race([this.ended, late]);
    return !this.alive;
  }

  /**
   * Starts a machine, and waits until it is a daemon that has reported itself.
   * @throws Error with the node's text when the program ends instead.
   */
  static async start({ vmid, command, pidFile, scope, events, timeout, log }: Start): Promise<QemuProcess> {
    await rm(pidFile, { force: true });
    const connected = Promise.withResolvers<undefined>();
    const closed = Promise.withResolvers<undefined>();
    let found: QemuProcess | undefined;
    events.watch(vmid, {
      connected: () => connected.resolve(undefined),
      off: () => {
        if (found !== undefined) void found.#endOff();
      },
      closed: () => closed.resolve(undefined),
    });
    try {
      await launch(scope.path, command, timeout, log);
      for (;;) {
        const reported = await Promise.race([connected.promise.then(() => true), sleep(LOOK_MS, false)]);
        const pid = livingPid(pidFile);
        if (pid === undefined) throw new Error('start failed: QEMU ended at once');
        if (!reported) continue;
        found = new QemuProcess(pid, pidFile, end(closed.promise, pidFile));
        return found;
      }
    } catch (error) {
      events.unwatch(vmid);
      throw error;
    }
  }

  /** Ends the process of a machine that is off. */
  async #endOff(): Promise<void> {
    this.kill('SIGTERM');
    if (!(await this.gone(KILL_MS))) this.kill('SIGKILL');
  }
}

async function launch(
  cgroup: string,
  command: readonly string[],
  timeout: number,
  log: (line: string) => void,
): Promise<void> {
  const child = spawn('sh', ['-c', ENTER, cgroup, ...command], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    cwd: '/',
    env: environment,
    timeout,
    killSignal: 'SIGKILL',
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said += String(chunk)));
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  for (const line of said.split('\n')) if (line.trim() !== '') log(line);
  if (code === null) throw new Error(`start failed: command '${command.join(' ')}' failed: got signal ${signal!}`);
  if (code !== 0) throw new Error(`start failed: QEMU exited with code ${code}`);
}

async function end(closed: Promise<undefined>, pidFile: string): Promise<void> {
  await closed;
  // The connection closes a moment before the process is gone.
  while (livingPid(pidFile) !== undefined) await sleep(LOOK_MS);
}
