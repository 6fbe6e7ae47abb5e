import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import type { ContainerStreams } from '../../core/model/container-runner.ts';
import { feed } from './pump.ts';
import { relayArguments } from './relay.ts';
import { runRelay } from './relay-process.ts';

/** Bytes before each packet of the relay: stream number and length. */
const HEADER_BYTES = 3;
/** conmon's number for standard error; all else is standard output. */
const STDERR = 3;

/** Connects a client's streams to conmon's attach socket in `bundle`, until the container ends or the client leaves. */
export async function attachToMonitor(bundle: string, io: ContainerStreams, signal: AbortSignal): Promise<void> {
  // Named from inside its folder: the whole path may be longer than the 107 bytes of a socket's address.
  const args = relayArguments('attach', 'attach', io.stdin === undefined ? '0' : '1');
  const what = 'cannot attach to the container';
  await runRelay({ program: 'perl', args, cwd: bundle, what }, signal, async (child) => {
    feed(io.stdin, child.stdin);
    await handOut(child.stdout, io);
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

async function put(sink: Writable | undefined, content: Buffer): Promise<void> {
  if (sink === undefined || sink.destroyed || sink.writableEnded || sink.write(content)) return;
  const given = new AbortController();
  await Promise.race([
    once(sink, 'drain', { signal: given.signal }),
    once(sink, 'close', { signal: given.signal }),
  ]).catch(() => undefined);
  given.abort();
}
