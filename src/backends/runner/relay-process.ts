import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { CriError, StatusCode, unavailable } from '../../core/model/errors.ts';
import { programEnv } from './programs.ts';

export type RelayChild = ChildProcessByStdio<Writable, Readable, Readable>;

/**
 * Runs a relay (see relay.ts) until it ends; `connect` ties its streams to the client's and resolves when all its output
 * is handed on. When `signal` fires it is killed.
 * @throws CriError UNAVAILABLE with `what` and the relay's words, CANCELLED when the signal fired.
 */
export async function runRelay(
  command: { program: string; args: string[]; cwd: string; what: string },
  signal: AbortSignal,
  connect: (child: RelayChild) => Promise<void>,
): Promise<void> {
  if (signal.aborted) throw gone();
  const child = spawn(command.program, command.args, {
    cwd: command.cwd,
    env: programEnv,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const kill = () => child.kill('SIGKILL');
  signal.addEventListener('abort', kill);
  try {
    let words = '';
    child.stderr.on('data', (chunk: Buffer) => {
      if (words.length < 500) words += chunk.toString();
    });
    const ended = new Promise<number | null>((resolve, reject) => {
      child.on('error', (cause) => {
        reject(unavailable(`${command.what}: ${cause.message}`, cause));
      });
      child.on('close', resolve);
    });
    const [code] = await Promise.all([ended, connect(child)]);
    if (child.killed) throw gone();
    if (code !== 0) throw unavailable(`${command.what}: ${words.trim() || 'the connection was cut'}`);
  } finally {
    signal.removeEventListener('abort', kill);
    kill();
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
  }
}

function gone(): CriError {
  return new CriError(StatusCode.CANCELLED, 'the client has gone');
}
