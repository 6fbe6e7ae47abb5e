import { constants } from 'node:fs';
import { setPriority } from 'node:os';
import type { StepResult } from '../native/messages.ts';
import type { Descriptor } from '../native/steps.ts';
import { requestPrograms } from './request-programs.ts';

export interface RunOptions {
  /** Written to the command's standard input, which is closed afterwards. */
  input?: string | Buffer;
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** Milliseconds after which the command is killed with its process group; none by default. */
  timeoutMs?: number;
  /** Kills it in the same way. */
  signal?: AbortSignal | undefined;
  /**
   * What it keeps open, to show later servers that it runs (see helpers.ts): by default the FIFO that the next start waits
   * for; another one; or nothing, for a command that changes nothing.
   */
  holds?: 'nothing' | { fifo: string };
  /** By how much its priority is lowered (nice(2)) as soon as it runs. */
  nice?: number;
  /** Bytes kept of each stream, below 64 MiB (default 1 MiB); the rest is read and dropped. */
  maxOutputBytes?: number;
}

export interface RunResult {
  stdout: string;
  stderr: string;
}

/** A command that could not be started, exited with a code other than 0, or was killed. */
export class CommandError extends Error {
  readonly command: string;
  /** undefined when a signal killed it or it never started. */
  readonly exitCode: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
  readonly stdout: string;
  readonly stderr: string;

  constructor(
    command: string,
    message: string,
    outcome: { exitCode?: number | undefined; signal?: NodeJS.Signals | undefined; stdout: string; stderr: string },
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'CommandError';
    this.command = command;
    this.exitCode = outcome.exitCode;
    this.signal = outcome.signal;
    this.stdout = outcome.stdout;
    this.stderr = outcome.stderr;
  }
}

/**
 * Runs `command` with exactly these arguments (no shell) and resolves with its output when it ends with code 0. The native
 * helper starts it, in a process group of its own; while it runs, the next server waits, unless `holds` says otherwise.
 * The promise settles on the command's exit, not when its output is closed, so that a daemon it starts does not block it.
 * @throws CommandError otherwise; the message has the command's name and the end of its output, never its arguments.
 * @throws CriError UNAVAILABLE when there is no native helper, or it died meanwhile: then when the command has ended, so that
 *   nothing comes of it after the caller has cleaned up.
 */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const {
    input,
    env = process.env,
    cwd = process.cwd(),
    timeoutMs,
    signal,
    holds,
    nice,
    maxOutputBytes: limit = 1_048_576,
  } = options;
  const step = {
    do: 'spawn' as const,
    argv: [command, ...args],
    env,
    cwd,
    descriptors: {
      // An empty pipe where there is no input: a program may change the mode or owner of what it gets, and must not of /dev/null.
      0: { kind: 'input', data: input ?? '' } as const,
      1: { kind: 'capture', limit } as const,
      2: { kind: 'capture', limit } as const,
      ...(holds !== 'nothing' && { 3: holdOf(holds?.fifo) }),
    },
    ...(timeoutMs !== undefined && { limitMs: timeoutMs }),
    ...(nice !== undefined && { started: (pid: number) => lowerPriority(pid, nice) }),
  };
  const [result] = await requestPrograms([step], signal);
  if (result === undefined) throw new Error('the native helper returned no result');
  const output = { stdout: textOf(result, 1), stderr: textOf(result, 2) };
  if (result.status === 'done' && result.exit?.code === 0) return output;
  throw failure(command, result, output, options);
}

function lowerPriority(pid: number, nice: number): void {
  try {
    setPriority(pid, nice);
  } catch {
    // It has ended.
  }
}

function holdOf(fifo: string | undefined): Descriptor {
  if (fifo === undefined) return { kind: 'hold' };
  // Without O_NONBLOCK it would wait for a writer (fifo(7)).
  return { kind: 'open', path: fifo, flags: constants.O_RDONLY | constants.O_NONBLOCK };
}

function failure(
  command: string,
  result: StepResult,
  output: RunResult,
  { timeoutMs, signal }: RunOptions,
): CommandError {
  const outcome = { exitCode: result.exit?.code, signal: result.exit?.signal, ...output };
  if (result.status === 'cancelled') {
    return new CommandError(command, `${command} was cancelled`, outcome, { cause: signal?.reason });
  }
  if (result.status === 'failed') {
    const cause = Object.assign(new Error(result.problem), { code: result.code });
    // The command was not executed: the exit code of the child is not the command's.
    return new CommandError(command, `cannot run ${command}: ${result.problem}`, output, { cause });
  }
  const said = lastWords(output.stderr || output.stdout);
  const how =
    result.status === 'timeout'
      ? `timed out after ${String(timeoutMs)} ms and was killed`
      : outcome.exitCode === undefined
        ? `was killed by ${outcome.signal ?? 'a signal'}`
        : `exited with code ${String(outcome.exitCode)}`;
  return new CommandError(command, `${command} ${how}${said && `: ${said}`}`, outcome);
}

function textOf({ outputs }: StepResult, descriptor: number): string {
  return outputs.get(descriptor)?.bytes.toString('utf8') ?? '';
}

/** The end of a command's output on one line, at most 500 characters. */
function lastWords(text: string): string {
  return (
    text
      .trim()
      // The expression takes the square of the number of spaces in a row.
      .slice(-2000)
      .trimStart()
      .replaceAll(/\s*\n\s*/g, '; ')
      .slice(-500)
  );
}
