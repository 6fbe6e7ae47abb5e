import { spawn } from 'node:child_process';
import type { ChildProcess, StdioOptions } from 'node:child_process';
import { close, constants, open } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { Socket } from 'node:net';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { promisify } from 'node:util';
import type { ContainerStreams } from '../../../core/model/container-runner.ts';
import { CriError, StatusCode, unknown } from '../../../core/model/errors.ts';
import { run } from '../../../host/processes/run.ts';
import { prepareExec, throwIfRuntimeFailed } from './exec-command.ts';
import type { ExecTarget } from './exec-command.ts';
import { InputPipe } from '../streams/input-pipe.ts';
import { programEnv } from '../../../host/processes/programs.ts';
import { Pump, feed } from '../streams/pump.ts';
import { relayArguments } from '../streams/relay.ts';
import { killSession } from './session-kill.ts';

const openDescriptor = promisify(open);
const closeDescriptor = promisify(close);

export interface StreamingExec extends ExecTarget {
  /** Folder for the files of this call, removed with the container at the latest. */
  folder: string;
  /** Milliseconds without output after which what descendants hold open is given up. */
  drainMs: number;
  io: ContainerStreams;
  signal: AbortSignal;
}

/** Name of the socket through which the runtime passes a terminal. */
const CONSOLE = 'console';

/** A command that was started. */
interface Running {
  child: ChildProcess;
  /** The exit code. */
  ended: Promise<number>;
}

/** A started command with its streams, and what must be closed after it. */
interface Started extends Running {
  outputs: Pump[];
  close: () => Promise<void>;
}

/** Runs a command by the runtime's `exec` with a client's streams; see ContainerRunner.execStream. */
export async function execStream(exec: StreamingExec): Promise<number> {
  const { folder, signal } = exec;
  if (signal.aborted) throw clientLost();
  const work = await mkdtemp(join(folder, 'exec-'));
  let started: Started | undefined;
  try {
    started = await (exec.process.terminal
      ? startOnTerminal(await prepareExec(exec, work, [`--console-socket=${CONSOLE}`]), exec, work)
      : startOnPipes(await prepareExec(exec, work), exec, work));
    const exitCode = await endOf(started, signal);
    await throwIfRuntimeFailed(exec, work);
    await Promise.all(started.outputs.map((output) => output.quiet(exec.drainMs)));
    return exitCode;
  } finally {
    await started?.close();
    await rm(work, { recursive: true, force: true });
  }
}

async function startOnPipes(command: string[], { io }: StreamingExec, work: string): Promise<Started> {
  const fifo = (name: 'stdin' | 'stdout' | 'stderr') => join(work, name);
  const fifos = (['stdin', 'stdout', 'stderr'] as const).filter((name) => io[name] !== undefined).map(fifo);
  await run('mkfifo', ['-m', '600', '--', ...fifos], { env: programEnv });
  const undo: (() => Promise<void>)[] = [];
  const outputs: Pump[] = [];
  const stdio: StdioOptions = ['ignore', 'ignore', 'ignore'];
  const given: (() => Promise<void>)[] = [];
  const close = async () => {
    for (const step of undo) await step();
  };
  try {
    if (io.stdin !== undefined) {
      const input = await InputPipe.open(fifo('stdin'));
      undo.push(() => input.close());
      given.push(() => input.closeReader());
      feed(io.stdin, input.writer);
      stdio[0] = input.reader;
    }
    for (const [index, name] of [
      [1, 'stdout'],
      [2, 'stderr'],
    ] as const) {
      const sink = io[name];
      if (sink === undefined) continue;
      const { reader, writer } = await outputPipe(fifo(name));
      undo.push(() => Promise.resolve(void reader.destroy()));
      stdio[index] = writer;
      given.push(() => closeDescriptor(writer));
      outputs.push(new Pump(reader, sink));
    }
    return { ...start(command, stdio), outputs, close };
  } catch (error) {
    await close();
    throw error;
  } finally {
    for (const step of given) await step();
  }
}

/** Both ends of a FIFO whose name is removed: the command's as a descriptor, ours as a stream. */
async function outputPipe(fifo: string): Promise<{ reader: Socket; writer: number }> {
  const descriptor = await openDescriptor(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
  const reader = new Socket({ fd: descriptor, readable: true, writable: false });
  try {
    const writer = await openDescriptor(fifo, constants.O_WRONLY);
    await rm(fifo);
    return { reader, writer };
  } catch (error) {
    reader.destroy();
    throw error;
  }
}

/** The runtime hands a terminal over through a socket, named from inside its folder: a whole path may be too long. */
function startOnTerminal(command: string[], { io, signal }: StreamingExec, work: string): Promise<Started> {
  const relay = ['perl', ...relayArguments('pty', CONSOLE, ...command)];
  const running = start(relay, ['pipe', 'pipe', 'ignore', 'pipe'], work);
  const [input, output, , sizes] = running.child.stdio as unknown as [Writable, Socket, null, Writable]; // as `stdio` asks
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

function start([program = '', ...args]: string[], stdio: StdioOptions, cwd = '/'): Running {
  // A session of its own, by which the command's processes are found again.
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
  return { child, ended };
}

/** The exit code; when the client is lost first, the command is killed. */
async function endOf({ child, ended }: Running, signal: AbortSignal): Promise<number> {
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
    if (child.pid !== undefined) await killSession(child.pid);
    await ended;
    throw clientLost();
  } finally {
    signal.removeEventListener('abort', leave);
  }
}

function clientLost(): CriError {
  return new CriError(StatusCode.CANCELLED, 'the client has gone; the command was killed');
}
