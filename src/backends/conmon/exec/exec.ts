import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecOptions, ExecResult } from '../../../core/model/container-runner.ts';
import { CriError, StatusCode, deadlineExceeded, unknown } from '../../../core/model/errors.ts';
import { run } from '../../../host/processes/run.ts';
import { prepareExec, throwIfRuntimeFailed } from './exec-command.ts';
import type { ExecTarget } from './exec-command.ts';
import { OutputPipe } from '../streams/output-pipe.ts';
import { programEnv } from '../../../host/processes/programs.ts';
import { killSession } from './session-kill.ts';

export interface ExecCommand extends ExecOptions, ExecTarget {
  /** Folder for the files of this call, removed with the container at the latest. */
  folder: string;
  /** Milliseconds to wait for output that descendants hold open after the command's end. */
  drainMs: number;
}

/**
 * Runs one command through the runtime's `exec`, without standard input.
 * @throws CriError as ContainerRunner.exec says; CANCELLED when the signal fired (the command is dead then, too).
 */
export async function execCommand(command: ExecCommand): Promise<ExecResult> {
  const work = await mkdtemp(join(command.folder, 'exec-'));
  const pipes: OutputPipe[] = [];
  try {
    const names = [join(work, 'stdout'), join(work, 'stderr')];
    const [words] = await Promise.all([
      prepareExec(command, work),
      run('mkfifo', ['-m', '600', '--', ...names], { env: programEnv }),
    ]);
    for (const name of names) pipes.push(await OutputPipe.open(name, command.maxOutputBytes));
    const [stdout, stderr] = pipes as [OutputPipe, OutputPipe];
    const exitCode = await runToExit(command, words, [stdout, stderr]);
    await throwIfRuntimeFailed(command, work);
    const drained = new AbortController();
    await Promise.race([
      Promise.all([stdout.ended, stderr.ended]),
      sleep(command.drainMs, undefined, { signal: drained.signal }).catch(() => undefined),
    ]);
    drained.abort();
    return { exitCode, stdout: stdout.content(), stderr: stderr.content() };
  } finally {
    for (const pipe of pipes) await pipe.close();
    await rm(work, { recursive: true, force: true });
  }
}

/** The exit code of the runtime, which is the command's unless the runtime's log holds an error. */
async function runToExit(
  command: ExecCommand,
  [program = '', ...args]: string[],
  [stdout, stderr]: [OutputPipe, OutputPipe],
): Promise<number> {
  if (command.signal?.aborted) throw givenUp();
  const child = spawn(program, args, {
    cwd: '/',
    env: programEnv,
    stdio: ['ignore', stdout.writer, stderr.writer],
    detached: true, // a session of its own, by which the command's processes are found again
  });
  const ended = new Promise<number>((resolve, reject) => {
    child.on('error', (cause) => {
      reject(unknown(`cannot run ${program}: ${cause.message}`, cause));
    });
    child.on('exit', (code, signal) => {
      resolve(code ?? (signal === 'SIGKILL' ? 137 : 255));
    });
  });
  await Promise.all([stdout.closeWriter(), stderr.closeWriter()]);
  const limit = deadline(command);
  try {
    const outcome = await Promise.race([ended, limit.reached]);
    if (typeof outcome === 'number') return outcome;
    if (child.pid !== undefined) await killSession(child.pid);
    await ended;
    throw outcome;
  } finally {
    limit.clear();
  }
}

/** A promise of the error to throw when the time is over or the caller has given up. */
function deadline(command: ExecCommand): { reached: Promise<CriError>; clear: () => void } {
  const { timeoutMs, signal } = command;
  let clear = (): void => undefined;
  const reached = new Promise<CriError>((resolve) => {
    const abort = (): void => {
      resolve(givenUp());
    };
    const message = `the command did not end within ${String(timeoutMs)} ms and was killed`;
    const timer =
      timeoutMs > 0
        ? setTimeout(() => {
            resolve(deadlineExceeded(message));
          }, timeoutMs)
        : undefined;
    signal?.addEventListener('abort', abort);
    clear = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    };
  });
  return { reached, clear };
}

function givenUp(): CriError {
  return new CriError(StatusCode.CANCELLED, 'the caller has given the command up');
}
