import { spawn } from 'node:child_process';
import type { ChildProcess, StdioOptions } from 'node:child_process';
import { constants } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ContainerStreams } from '../../../core/model/container-runner.ts';
import { CriError, StatusCode, unknown } from '../../../core/model/errors.ts';
import { native } from '../../../host/native/helper.ts';
import { programEnv } from '../../../host/processes/programs.ts';
import { StandardPipes } from '../streams/pipes.ts';
import { Pump, feed } from '../streams/pump.ts';
import { relayCommand } from '../streams/relay-process.ts';
import { prepareExec, throwIfRuntimeFailed } from './exec-command.ts';
import type { ExecTarget } from './exec-command.ts';
import { killSession } from './session-kill.ts';

export interface Exec extends ExecTarget {
  /** Directory for the files of this call, removed with the container at the latest. */
  folder: string;
  /** Milliseconds that output is waited for which descendants hold open after the command's end. */
  drainMs: number;
  /** Whether such output is carried on for as long as it keeps coming. */
  follow: boolean;
  io: ContainerStreams;
  /** Kills the command; the reason is thrown when it is a CriError. */
  signal: AbortSignal;
}

/** Name of the socket through which the runtime passes a terminal. */
const CONSOLE = 'console';

/** A command that was started, in a session of its own, by which its processes are found again. */
interface Running {
  /** The leader of the session; undefined when it could not be started. */
  pid: () => number | undefined;
  /** The exit code. */
  ended: Promise<number>;
}

/** A started command with its streams, and what must be closed after it. */
interface Started extends Running {
  outputs: Pump[];
  close: () => Promise<void>;
}

/** Runs a command by the runtime's `exec`; see ContainerRunner.exec and execStream, whose one implementation it is. */
export async function runExec(exec: Exec): Promise<number> {
  const { folder, signal } = exec;
  if (signal.aborted) throw reasonOf(signal);
  const work = await mkdtemp(join(folder, 'exec-'));
  let started: Started | undefined;
  try {
    started = await (exec.process.terminal
      ? startOnTerminal(await prepareExec(exec, work, [`--console-socket=${CONSOLE}`]), exec, work)
      : startOnPipes(await prepareExec(exec, work), exec, work));
    const exitCode = await endOf(started, signal);
    await throwIfRuntimeFailed(exec, work);
    await Promise.all(started.outputs.map((output) => output.quiet(exec.drainMs, exec.follow)));
    return exitCode;
  } finally {
    await started?.close();
    await rm(work, { recursive: true, force: true });
  }
}

async function startOnPipes(command: string[], { io }: Exec, work: string): Promise<Started> {
  const pipes = await StandardPipes.make(work, io.stdin !== undefined);
  try {
    if (pipes.stdin !== undefined) feed(io.stdin, pipes.stdin);
    const outputs = [new Pump(pipes.stdout, io.stdout), new Pump(pipes.stderr, io.stderr)];
    const close = () => pipes.close();
    if (pipes.stdin === undefined) return { ...startByHelper(command, work, pipes), outputs, close };
    const { running } = start(command, [...pipes.given]);
    await pipes.release();
    return { ...running, outputs, close };
  } catch (error) {
    await pipes.close();
    throw error;
  }
}

/** Without input, as most commands are run: the fork of Node.js would hold everything up. */
function startByHelper(argv: string[], work: string, pipes: StandardPipes): Running {
  let pid: number | undefined;
  const output = (name: string) => ({ kind: 'open' as const, path: join(work, name), flags: constants.O_WRONLY });
  const request = native.request([
    {
      do: 'spawn',
      argv,
      env: programEnv,
      cwd: '/',
      descriptors: { 1: output('stdout'), 2: output('stderr') },
      session: true,
      started: (started) => (pid = started),
    },
  ]);
  const ended = request.then(
    async ([result]) => {
      // Held until now: a reader takes a pipe that has no writer yet for one that has ended.
      await pipes.release();
      if (result?.status !== 'done') throw unknown(result?.problem ?? 'the native helper gave no result');
      return result.exit?.code ?? (result.exit?.signal === 'SIGKILL' ? 137 : 255);
    },
    async (error: unknown) => {
      if (pid !== undefined) await killSession(pid);
      throw error;
    },
  );
  ended.catch(() => undefined);
  return { pid: () => pid, ended };
}

/** The runtime hands a terminal over through a socket, named from inside its directory: a whole path may be too long. */
function startOnTerminal(command: string[], { io, signal }: Exec, work: string): Promise<Started> {
  const { running, child } = start(relayCommand('pty', CONSOLE, ...command), ['pipe', 'pipe', 'ignore', 'pipe'], work);
  const [input, output, , sizes] = child.stdio as unknown as [Writable, Socket, null, Writable]; // as `stdio` asks
  feed(io.stdin, input);
  sizes.on('error', () => undefined); // the command has ended
  void (async () => {
    for await (const { width, height } of io.resizes ?? []) {
      if (signal.aborted || sizes.destroyed) return;
      sizes.write(`${String(height)} ${String(width)}\n`);
    }
  })();
  const close = () => {
    for (const stream of [input, output, sizes]) stream.destroy();
    return Promise.resolve();
  };
  return Promise.resolve({ ...running, outputs: [new Pump(output, io.stdout)], close });
}

function start(
  [program = '', ...args]: string[],
  stdio: StdioOptions,
  cwd = '/',
): { running: Running; child: ChildProcess } {
  const child = spawn(program, args, { cwd, env: programEnv, stdio, detached: true });
  // Listened for at once: a short command ends before anything else is done.
  const ended = new Promise<number>((resolve, reject) => {
    child.on('error', (cause) => {
      reject(unknown(`cannot run ${child.spawnfile}: ${cause.message}`, cause));
    });
    child.on('exit', (code, killed) => {
      resolve(code ?? (killed === 'SIGKILL' ? 137 : 255));
    });
  });
  ended.catch(() => undefined);
  return { running: { pid: () => child.pid, ended }, child };
}

/** The exit code; when the signal fires first, the command is killed. */
async function endOf({ pid, ended }: Running, signal: AbortSignal): Promise<number> {
  const end = { over: false };
  const mark = () => (end.over = true);
  ended.then(mark, mark);
  let leave: () => void = () => undefined;
  const left = new Promise<undefined>((resolve) => {
    leave = () => {
      resolve(undefined);
    };
    signal.addEventListener('abort', leave);
    if (signal.aborted) leave();
  });
  try {
    const code = await Promise.race([ended, left]);
    if (code !== undefined) return code;
    // A command that is not there yet is killed as soon as it is.
    while (pid() === undefined && !end.over) await sleep(5);
    const leader = pid();
    if (leader !== undefined) await killSession(leader);
    await ended;
    throw reasonOf(signal);
  } finally {
    signal.removeEventListener('abort', leave);
  }
}

function reasonOf(signal: AbortSignal): CriError {
  if (signal.reason instanceof CriError) return signal.reason;
  return new CriError(StatusCode.CANCELLED, 'the client has gone; the command was killed');
}
