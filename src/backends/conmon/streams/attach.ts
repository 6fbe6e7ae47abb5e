import type { Readable } from 'node:stream';
import type { ContainerStreams } from '../../../core/model/container-runner.ts';
import { feed } from './pump.ts';
import { put } from './put.ts';
import { relayCommand, runRelay } from './relay-process.ts';

/** Bytes before each packet of the relay: stream number and length. */
const HEADER_BYTES = 3;
/** conmon's number for standard error; everything else is standard output. */
const STDERR = 3;

/** Bytes of output buffered for a slow client before conmon, and with it the container and its log, is blocked. */
const HELD_BYTES = 4 * 2 ** 20;
/** Seconds in which a client must read half of them once it blocks the container. */
const PATIENCE_SECONDS = 5;

/**
 * Connects a client's streams to conmon's attach socket in `bundle`, until the container ends or the client
 * disconnects. With `inputOnce` conmon closes the container's input with the first connection that ends, even one
 * without input.
 * @throws CriError UNAVAILABLE for a client that does not read, since it would block the container and its log.
 */
export async function attachToMonitor(
  bundle: string,
  { inputOnce }: { inputOnce: boolean },
  io: ContainerStreams,
  signal: AbortSignal,
): Promise<void> {
  // A connection that was there for output only must therefore last as long as the container. So must one with input, whose
  // end conmon would miss amid output: only its input ends with the client.
  const stays = inputOnce;
  const mode = io.stdin === undefined ? (stays ? 'stay' : 'output') : stays ? 'input-stay' : 'input';
  // Named from inside its directory: the whole path may be longer than the 107 bytes of a socket's address.
  const command = relayCommand('attach', 'attach', String(HELD_BYTES), String(PATIENCE_SECONDS), mode);
  const what = 'the attachment ended';
  await runRelay({ command, cwd: bundle, what, stays }, signal, async ({ stdin, stdout }) => {
    feed(io.stdin, stdin);
    await handOut(stdout, io);
  });
}

async function handOut(source: Readable, io: ContainerStreams): Promise<void> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of source as AsyncIterable<Buffer>) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (let end; rest.length >= HEADER_BYTES && rest.length >= (end = HEADER_BYTES + rest.readUInt16BE(1));) {
      const sink = rest.readUInt8(0) === STDERR ? io.stderr : io.stdout;
      await put(sink, rest.subarray(HEADER_BYTES, end));
      rest = rest.subarray(end);
    }
  }
}
