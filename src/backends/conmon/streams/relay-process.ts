import type { Socket } from 'node:net';
import { CriError, StatusCode, unavailable } from '../../../core/model/errors.ts';
import { findNative } from '../../../host/native/find.ts';
import { programEnv } from '../../../host/processes/programs.ts';
import { startProgram } from '../../../host/processes/start-program.ts';

/** Ends of the relay's standard streams. */
export interface RelayStreams {
  stdin: Socket;
  stdout: Socket;
}

/**
 * The arguments of a relay, a command of the native helper that forwards bytes; src/native/relay.c documents the modes.
 */
export function relayCommand(mode: 'attach' | 'tcp' | 'pty', ...rest: string[]): string[] {
  return [findNative(), 'relay', mode, ...rest];
}

export interface RelayCommand {
  /** See {@link relayCommand}. */
  command: string[];
  cwd: string;
  /** Prefix of an error's message. */
  what: string;
  /** Leaves the process running when the session ends; it exits by itself. */
  stays?: boolean;
}

/**
 * Runs a relay until it exits, or until its output ends if it stays; `connect` connects its streams to the client's and
 * resolves when all its output is forwarded. When `signal` fires a relay that does not stay is killed.
 * @throws CriError UNAVAILABLE with `what` and the relay's message, CANCELLED when the signal fired.
 */
export async function runRelay(
  { command, cwd, what, stays = false }: RelayCommand,
  signal: AbortSignal,
  connect: (streams: RelayStreams) => Promise<void>,
): Promise<void> {
  const left = () => signal.aborted;
  if (left()) throw gone();
  const over = new AbortController();
  const step = { argv: command, env: programEnv, cwd, session: stays, detached: stays };
  const { pipes, ended } = await startProgram({ ...step, pipes: { 0: 'in', 1: 'out', 2: 'out' } }, over.signal);
  const release = () => {
    if (!stays) over.abort();
    for (const stream of Object.values(pipes)) stream.destroy();
  };
  signal.addEventListener('abort', release);
  try {
    if (left()) throw gone();
    let words = '';
    pipes[2].on('data', (chunk: Buffer) => {
      if (words.length < 500) words += chunk.toString();
    });
    // Without the helper the relay keeps running, only its exit code is unknown: its streams are sufficient.
    const said = new Promise((resolve) => pipes[2].once('close', resolve));
    const connected = connect({ stdin: pipes[0], stdout: pipes[1] });
    const [result] = await Promise.all([ended.catch(() => undefined), connected, said]);
    const isWell = result?.exit === undefined ? words === '' && result?.status !== 'failed' : result.exit.code === 0;
    if (!isWell) throw unavailable(`${what}: ${result?.problem || words.trim() || 'the connection was lost'}`);
  } catch (error) {
    if (!left()) throw error;
  } finally {
    signal.removeEventListener('abort', release);
    release();
  }
  if (left()) throw gone();
}

function gone(): CriError {
  return new CriError(StatusCode.CANCELLED, 'the client disconnected');
}
