import type { Readable, Writable } from 'node:stream';
import { type CliContext, UsageError } from '../command.ts';
import { writeAll } from '../output/write.ts';
import { Interrupted } from '../run/interruption.ts';
import { Channels } from './channels.ts';
import { DetachFilter } from './detach-keys.ts';
import { exitCodeOfStatus } from './status.ts';
import { RawTerminal } from './terminal.ts';

const Channel = { stdin: 0, stdout: 1, stderr: 2, status: 3, resize: 4 } as const;

/** Characters of the status channel after which the rest is ignored; a status has a few hundred. */
const MAX_STATUS = 1_048_576;

/** The streams of a streaming session. */
export interface SessionOptions {
  stdin: boolean;
  /** Whether the container's output is printed. */
  output: boolean;
  tty: boolean;
  /** Keys that detach, from {@link parseDetachKeys}. */
  detachKeys: Buffer;
}

/** How a streaming session ended, with the exit code: the remote one, 0 when the operator detached, 128 plus a signal. */
export interface SessionEnd {
  kind: 'exited' | 'detached' | 'interrupted';
  exitCode: number;
}

/** A {@link remoteSession} that signals terminate. */
export async function foregroundSession(
  context: CliContext,
  url: string,
  options: SessionOptions,
): Promise<SessionEnd> {
  const interrupted = new AbortController();
  const unsubscribe = context.onSignal((signal) => {
    interrupted.abort(new Interrupted(signal));
  });
  try {
    return await remoteSession(context, url, options, interrupted.signal);
  } catch (error) {
    if (error instanceof Interrupted) return { kind: 'interrupted', exitCode: error.exitCode };
    throw error;
  } finally {
    unsubscribe();
  }
}

/** The flags of CRI ExecRequest and AttachRequest for the streams. */
export function streamFlags({ stdin, output, tty }: SessionOptions) {
  // CRI requires at least one of them.
  return { stdin, stdout: output || !stdin, stderr: output && !tty, tty };
}

/** @throws UsageError when a terminal is requested and standard input is not one. */
export function requireTerminal(context: CliContext, { stdin, tty }: { stdin: boolean; tty: boolean }): void {
  if (stdin && tty && context.stdin().isTTY !== true) {
    throw new UsageError('the input device is not a TTY; omit -t, or run it on a terminal');
  }
}

/**
 * Connects this process's streams to a streaming URL of Exec or Attach, until the remote side ends. A terminal is in raw
 * mode and its size is forwarded; it is always restored.
 * @throws CriError with the server's message, and the reason of `signal`, which ends the streaming session.
 */
export async function remoteSession(
  context: CliContext,
  url: string,
  options: SessionOptions,
  signal: AbortSignal,
): Promise<SessionEnd> {
  let status = '';
  using channels = await Channels.open(url, {
    ...(options.output && { [Channel.stdout]: sinkOf(context.stdout), [Channel.stderr]: sinkOf(context.stderr) }),
    [Channel.status]: (content) => {
      if (status.length <= MAX_STATUS) status += content.toString();
      return Promise.resolve();
    },
  });
  // Read from now on only: output of an exited child process that nobody reads is lost.
  const stdin = options.stdin ? context.stdin() : undefined;
  const { promise: left, resolve: leave, reject: fail } = Promise.withResolvers<SessionEnd>();
  const abort = () => {
    fail(signal.reason);
  };
  signal.addEventListener('abort', abort, { once: true });
  using terminal = options.tty ? new RawTerminal(stdin, context.stdout) : undefined;
  try {
    terminal?.onSize(({ width, height }) => {
      void channels.send(Channel.resize, Buffer.from(JSON.stringify({ Width: width, Height: height })));
    });
    const keys = stdin?.isTTY === true ? options.detachKeys : Buffer.alloc(0);
    if (stdin !== undefined) feed(stdin, channels, new DetachFilter(keys), leave);
    const ended = channels.closed.then(() => undefined);
    return (await Promise.race([ended, left])) ?? { kind: 'exited', exitCode: exitCodeOfStatus(status) };
  } finally {
    signal.removeEventListener('abort', abort);
    stdin?.destroy();
  }
}

function sinkOf(stream: Writable): (content: Buffer) => Promise<void> {
  return (content) => writeAll(stream, content);
}

/** Forwards typed input until it ends. */
function feed(stdin: Readable, channels: Channels, filter: DetachFilter, leave: (end: SessionEnd) => void): void {
  void (async () => {
    try {
      for await (const chunk of stdin as AsyncIterable<Buffer>) {
        const { pass, detach } = filter.push(chunk);
        if (pass.length > 0) await channels.send(Channel.stdin, pass);
        if (detach) {
          leave({ kind: 'detached', exitCode: 0 });
          return;
        }
      }
    } catch {
      // The terminal hung up, or the streaming session ended.
    }
    await channels.end(Channel.stdin);
  })();
}
