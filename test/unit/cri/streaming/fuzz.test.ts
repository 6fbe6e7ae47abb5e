import test from 'ava';
import fc from 'fast-check';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Logger } from '../../../../src/core/model/logger.ts';
import type { ContainerStreams, StreamingRequest } from '../../../../src/cri/streaming/requests.ts';
import { StreamingServer } from '../../../../src/cri/streaming/streaming-server.ts';
import { loadSeeds } from '../../../fixtures/streaming/seeds.ts';
import type { Seed } from '../../../fixtures/streaming/seeds.ts';
import { HANG_MS, eventually } from '../../../lib/eventually.ts';
import { mutate, mutations } from './mutations.ts';

const RUNS = Number(process.env['STREAMING_FUZZ_RUNS'] ?? 300);

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Echoes its input with backpressure, until the client ends it or disconnects. */
async function echo({ stdin, stdout, resizes }: ContainerStreams, signal: AbortSignal): Promise<number> {
  void (async () => {
    for await (const size of resizes ?? []) if (signal.aborted || size.width === 0) return;
  })();
  if (stdin === undefined) return 0;
  await copy(stdin, stdout, signal).catch(() => undefined);
  return 3;
}

async function copy(stdin: Readable, stdout: Writable | undefined, signal: AbortSignal): Promise<void> {
  for await (const chunk of stdin as AsyncIterable<Buffer>) {
    if (stdout === undefined || signal.aborted) return;
    if (!stdout.write(chunk)) await once(stdout, 'drain', { signal });
  }
}

/** The request of the recorded session. */
function requestOf({ name }: Seed): StreamingRequest {
  if (name.endsWith('portforward')) {
    return { kind: 'portforward', ports: [], run: (_, io, signal) => echo(io, signal).then(() => undefined) };
  }
  const tty = name.endsWith('terminal');
  const flags = { stdin: true, stdout: true, stderr: !tty, tty };
  return { kind: name.endsWith('attach') ? 'attach' : 'exec', flags, run: echo };
}

/** Sends `bytes` in pieces, ends, and reads until the server closes. @returns the number of bytes received. */
async function converse(port: number, bytes: Buffer, size: number): Promise<number> {
  const socket = connect({ host: '127.0.0.1', port });
  let answered = 0;
  socket.on('data', (chunk: Buffer) => (answered += chunk.length));
  socket.on('error', () => undefined);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  for (let at = 0; at < bytes.length; at += size) {
    socket.write(bytes.subarray(at, at + size));
    await new Promise((resolve) => setImmediate(resolve));
  }
  socket.end();
  const hang = setTimeout(() => socket.destroy(new Error('the server does not close')), HANG_MS);
  await closed;
  clearTimeout(hang);
  if (socket.errored?.message === 'the server does not close') throw socket.errored;
  return answered;
}

test(`${String(RUNS)} mutated sessions neither crash nor hang the server`, async (t) => {
  t.timeout(3_600_000);
  let open = 0;
  const sessions: Logger = {
    debug: (message) => {
      if (message === 'Streaming session started') open += 1;
      if (message === 'Streaming session ended') open -= 1;
    },
    info: () => undefined,
    warn: (message) => t.fail(message),
    error: (message) => t.fail(message),
    with: () => sessions,
  };
  const address = { address: '127.0.0.1', port: 0 };
  const server = new StreamingServer({ ...address, idleTimeoutMs: 0, tls: undefined, logger: sessions });
  await server.start();
  t.teardown(() => server.stop());
  const seeds = await loadSeeds();
  t.is(seeds.length, 8);
  const speak = async (seed: Seed, change: Parameters<typeof mutate>[1], size: number) => {
    const url = new URL(server.offer(requestOf(seed)));
    const token = url.pathname.split('/').at(-1) ?? '';
    const answered = await converse(Number(url.port), mutate(seed, change, token), size);
    // A token without a request is consumed here.
    await fetch(url).catch(() => undefined);
    return answered;
  };
  // Unchanged, each leads to a session.
  for (const seed of seeds) t.true((await speak(seed, { frames: [], raw: [] }, 10_000)) > 150, seed.name);

  const fuzz = (numRuns: number) =>
    fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...seeds),
        mutations,
        fc.constantFrom(1, 7, 64, 10_000),
        async (seed, change, size) => (await speak(seed, change, size)) < 100_000,
      ),
      { numRuns, endOnFailure: true },
    );
  const used = async () => {
    await eventually('the end of every session', () => open === 0);
    collectGarbage();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  await fuzz(300);
  const before = await used();
  await fuzz(RUNS);
  const after = await used();
  t.is(open, 0, 'every session has ended');
  t.log(`${String(Math.round((after - before) / 1024))} KiB more after ${String(RUNS)} mutations`);
  t.true(after - before < 32 * 2 ** 20, `${String(before)} bytes before, ${String(after)} after`);
});
