import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { CriError, StatusCode, unavailable } from '../../../core/model/errors.ts';
import { findNative } from '../../../host/native/find.ts';
import { programEnv } from '../../../host/processes/programs.ts';

export type RelayChild = ChildProcessByStdio<Writable, Readable, Readable>;

/** The words of a relay, a command of the native helper that carries bytes; src/native/relay.c tells of the modes. */
export function relayCommand(mode: 'attach' | 'tcp' | 'pty', ...rest: string[]): string[] {
  return [findNative(), 'relay', mode, ...rest];
}

export interface RelayCommand {
  /** See {@link relayCommand}. */
  command: string[];
  cwd: string;
  /** Begins the message of an error. */
  what: string;
  /** Leaves the process to itself when the session ends; it ends on its own. */
  stays?: boolean;
}

/**
 * Runs a relay until it ends, or until its output does if it stays; `connect` ties its streams to the
 * client's and resolves when all its output is handed on. When `signal` fires a relay that does not stay is killed.
 * @throws CriError UNAVAILABLE with `what` and the relay's words, CANCELLED when the signal fired.
 */
export async function runRelay(
  { command: [program = '', ...args], cwd, what, stays = false }: RelayCommand,
  signal: AbortSignal,
  connect: (child: RelayChild) => Promise<void>,
): Promise<void> {
  const left = () => signal.aborted;
  if (left()) throw gone();
  const child = spawn(program, args, { cwd, env: programEnv, stdio: ['pipe', 'pipe', 'pipe'], detached: stays });
  const release = () => {
    if (stays) child.unref();
    else child.kill('SIGKILL');
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
  };
  signal.addEventListener('abort', release);
  try {
    let words = '';
    child.stderr.on('data', (chunk: Buffer) => {
      if (words.length < 500) words += chunk.toString();
    });
    const ended = new Promise<number | null>((resolve, reject) => {
      child.on('error', (cause) => {
        reject(unavailable(`${what}: ${cause.message}`, cause));
      });
      child.on('close', resolve);
      if (stays) {
        child.stderr.on('close', () => {
          resolve(0);
        });
      }
    });
    const [code] = await Promise.all([ended, connect(child)]);
    if (code !== 0 || (stays && words !== '')) {
      throw unavailable(`${what}: ${words.trim() || 'the connection was cut'}`);
    }
  } catch (error) {
    if (!left()) throw error;
  } finally {
    signal.removeEventListener('abort', release);
    release();
  }
  if (left()) throw gone();
}

function gone(): CriError {
  return new CriError(StatusCode.CANCELLED, 'the client has gone');
}
