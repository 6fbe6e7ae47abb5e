import { mkdtemp, rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import type { ContainerStreams } from '../../../core/model/container-runner.ts';
import { CriError, StatusCode, unknown } from '../../../core/model/errors.ts';
import { programEnv } from '../../../host/processes/programs.ts';
import { startProgram } from '../../../host/processes/start-program.ts';
import type { ProgramStep } from '../../../host/processes/start-program.ts';
import { Pump, feed } from '../streams/pump.ts';
import { put } from '../streams/put.ts';
import { relayCommand } from '../streams/relay-process.ts';
import { prepareExec, throwIfRuntimeFailed } from './exec-command.ts';
import type { ExecTarget } from './exec-command.ts';
import { killSession } from './session-kill.ts';

export interface Exec extends ExecTarget {
  /** Directory for the files of this call, removed with the container at the latest. */
  directory: string;
  /** Milliseconds to wait for output of descendants after the command's end. */
  drainMs: number;
  /** Whether such output is forwarded as long as it continues. */
  follow: boolean;
  io: ContainerStreams;
  /** Kills the command; the reason is thrown when it is a CriError. */
  signal: AbortSignal;
}

/** Name of the socket through which the runtime passes a terminal. */
const CONSOLE = 'console';
/** The descriptor from which the terminal's relay takes its sizes. */
const SIZES = 3;

/** A command that was started in its own session. */
interface Command<Pipe extends number> {
  pipes: Readonly<Record<Pipe, Socket>>;
  /** The exit code. */
  ended: Promise<number>;
  /** Ends the command with all its processes, which are identified by its session. */
  kill: () => Promise<void>;
  /** Closes the streams. */
  close: () => void;
}

interface Started extends Omit<Command<number>, 'pipes'> {
  outputs: Pump[];
}

/** Runs a command by the runtime's `exec`; the implementation of ContainerRunner.exec and execStream. */
export async function runExec(exec: Exec): Promise<number> {
  const { directory, signal } = exec;
  if (signal.aborted) throw reasonOf(signal);
  const work = await mkdtemp(join(directory, 'exec-'));
  let started: Started | undefined;
  try {
    started = await (exec.process.terminal
      ? startOnTerminal(await prepareExec(exec, work, [`--console-socket=${CONSOLE}`]), exec, work)
      : startOnPipes(await prepareExec(exec, work), exec));
    const exitCode = await endOf(started, signal);
    await throwIfRuntimeFailed(exec, work);
    await Promise.all(started.outputs.map((output) => output.quiet(exec.drainMs, exec.follow)));
    return exitCode;
  } finally {
    started?.close();
    await rm(work, { recursive: true, force: true });
  }
}

async function startOnPipes(argv: string[], { io }: Exec): Promise<Started> {
  const outputs = { 1: 'out', 2: 'out' } as const;
  let started: Command<1 | 2>;
  if (io.stdin === undefined) {
    started = await start({ argv, cwd: '/', pipes: outputs });
  } else {
    const withInput = await start<0 | 1 | 2>({ argv, cwd: '/', pipes: { 0: 'in', ...outputs } });
    feed(io.stdin, withInput.pipes[0]);
    started = withInput;
  }
  return { ...started, outputs: [new Pump(started.pipes[1], io.stdout), new Pump(started.pipes[2], io.stderr)] };
}

/** The runtime passes a terminal through a socket, named from inside its directory: a whole path may be too long. */
async function startOnTerminal(command: string[], { io, signal }: Exec, work: string): Promise<Started> {
  const argv = relayCommand('pty', CONSOLE, ...command);
  const started = await start({ argv, cwd: work, pipes: { 0: 'in', 1: 'out', [SIZES]: 'in' } });
  const { 0: input, 1: output, [SIZES]: sizes } = started.pipes;
  feed(io.stdin, input);
  void (async () => {
    for await (const { width, height } of io.resizes ?? []) {
      if (signal.aborted || sizes.destroyed) return;
      // A flood of sizes waits with its sender.
      await put(sizes, `${String(height)} ${String(width)}\n`);
    }
  })();
  return { ...started, outputs: [new Pump(output, io.stdout)] };
}

async function start<Pipe extends number>(
  command: Pick<ProgramStep<Pipe>, 'argv' | 'cwd' | 'pipes'>,
): Promise<Command<Pipe>> {
  const leader = new AbortController();
  const { pid, pipes, ended } = await startProgram({ ...command, env: programEnv, session: true }, leader.signal);
  const kill = async () => {
    await killSession(pid);
    // A process that had not entered its session yet was missed.
    leader.abort();
  };
  const exitCode = ended.then(
    ({ status, problem, exit }) => {
      if (status === 'failed') throw unknown(problem);
      return exit?.code ?? (exit?.signal === 'SIGKILL' ? 137 : 255);
    },
    async (error: unknown) => {
      // Nobody would be notified of its end.
      await kill();
      throw error;
    },
  );
  exitCode.catch(() => undefined);
  const close = () => {
    for (const stream of Object.values<Socket>(pipes)) stream.destroy();
  };
  return { pipes, ended: exitCode, kill, close };
}

/** The exit code; when the signal fires first, the command is killed. */
async function endOf({ kill, ended }: Started, signal: AbortSignal): Promise<number> {
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
    await kill();
    await ended.catch(() => undefined);
    throw reasonOf(signal);
  } finally {
    signal.removeEventListener('abort', leave);
  }
}

function reasonOf(signal: AbortSignal): CriError {
  if (signal.reason instanceof CriError) return signal.reason;
  return new CriError(StatusCode.CANCELLED, 'the client disconnected; the command was killed');
}
