import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';

export interface RunOptions {
  /** Written to the command's standard input, which is closed afterwards. */
  input?: string | Buffer;
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** Milliseconds after which the command is killed; none by default. */
  timeoutMs?: number;
  signal?: AbortSignal | undefined;
  /** Bytes kept of each stream (default 1 MiB); the rest is read and dropped. */
  maxOutputBytes?: number;
}

export interface RunResult {
  stdout: string;
  stderr: string;
}

/** A command that could not be started, ended with a code other than 0, or was killed. */
export class CommandError extends Error {
  readonly command: string;
  /** undefined when a signal ended it or it never started. */
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

let inherited: number | undefined;

/** Gives every command that is run from now on this open descriptor, as its number 3. */
export function inheritInCommands(fd: number): void {
  inherited = fd;
}

/**
 * Runs `command` with exactly these arguments (no shell) and resolves with its output when it ends with code 0.
 * The promise settles on the command's exit, not on the closing of its output, so a daemon it leaves behind does not hold it.
 * @throws CommandError otherwise; the message holds the command's name and its last words, never its arguments.
 */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    options.signal?.throwIfAborted();
    const child = spawn(command, args, {
      stdio: ['pipe', 'pipe', 'pipe', ...(inherited === undefined ? [] : [inherited])],
      env: options.env,
      cwd: options.cwd,
      signal: options.signal,
      killSignal: 'SIGKILL',
    }) as ChildProcessByStdio<Writable, Readable, Readable>; // as the first three of "stdio" ask
    // Not spawn's own option: its timer goes on when the command cannot be started, and keeps the process alive.
    const timer =
      options.timeoutMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), options.timeoutMs);
    const limit = options.maxOutputBytes ?? 1_048_576;
    const stdout = collect(child.stdout, limit);
    const stderr = collect(child.stderr, limit);
    const output = () => ({ stdout: stdout(), stderr: stderr() });

    child.on('error', (cause) => {
      clearTimeout(timer);
      const message = options.signal?.aborted ? `${command} was cancelled` : `cannot run ${command}: ${cause.message}`;
      reject(new CommandError(command, message, output(), { cause }));
    });
    const settle = (exitCode: number | null, signal: NodeJS.Signals | null) => {
      child.stdout.destroy();
      child.stderr.destroy();
      if (exitCode === 0) return resolve(output());
      const words = output();
      const how = signal === null ? `exited with code ${String(exitCode)}` : `was ended by ${signal}`;
      const said = lastWords(words.stderr || words.stdout);
      const outcome = { exitCode: exitCode ?? undefined, signal: signal ?? undefined, ...words };
      reject(new CommandError(command, `${command} ${how}${said && `: ${said}`}`, outcome));
    };
    child.on('close', settle);
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      // What the pipes still hold arrives within this time; a background process may hold them open for ever.
      setTimeout(() => {
        settle(code, signal);
      }, 200).unref();
    });
    child.stdin.on('error', () => undefined); // a command that does not read its input is no error
    child.stdin.end(options.input);
  });
}

function collect(stream: Readable, limit: number): () => string {
  const chunks: Buffer[] = [];
  let size = 0;
  stream.on('data', (chunk: Buffer) => {
    if (size < limit) chunks.push(chunk.subarray(0, limit - size));
    size += chunk.length;
  });
  return () => Buffer.concat(chunks).toString('utf8');
}

/** The end of a command's output on one line, at most 500 characters. */
function lastWords(text: string): string {
  return text
    .trim()
    .replaceAll(/\s*\n\s*/g, '; ')
    .slice(-500);
}
