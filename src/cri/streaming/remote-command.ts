import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import type { RemoteCommand } from './requests.ts';
import { terminalSizes } from './resizes.ts';
import type { Outcome } from './status.ts';

/** The client's streams of a streaming session, on any transport. */
export interface ClientStreams {
  stdin: Readable | undefined;
  stdout: Writable | undefined;
  stderr: Writable | undefined;
  resize: Readable | undefined;
  /** Receives the outcome in the form of the protocol version. */
  error: Writable;
  /** The outcome in this form. */
  message: (outcome: Outcome) => string;
  /** Aborted when the client is lost. */
  signal: AbortSignal;
}

/** Runs one exec or attach and reports its outcome to the client. Never throws. @returns the outcome. */
export async function serveRemoteCommand(command: RemoteCommand, client: ClientStreams): Promise<Outcome> {
  const { stdin, stdout, stderr, resize, error, signal } = client;
  let outcome: Outcome;
  try {
    const resizes = resize === undefined ? undefined : terminalSizes(resize);
    outcome = { exitCode: await command.run({ stdin, stdout, stderr, resizes }, signal) };
  } catch (failure) {
    outcome = { error: failure };
  }
  // Discards further data of the client.
  for (const stream of [stdin, resize]) stream?.resume();
  await Promise.all([finish(stdout, ''), finish(stderr, '')]);
  await finish(error, client.message(outcome));
  return outcome;
}

/** Ends a stream with a last message and waits until it is written, or the stream is lost. */
export async function finish(stream: Writable | undefined, words: string): Promise<void> {
  if (stream === undefined || stream.destroyed || stream.writableEnded) return;
  const given = new AbortController();
  const over = Promise.race([
    once(stream, 'finish', { signal: given.signal }),
    once(stream, 'close', { signal: given.signal }),
  ]);
  if (words === '') stream.end();
  else stream.end(words);
  await over.catch(() => undefined);
  given.abort();
}
