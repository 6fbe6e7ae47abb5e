import test from 'ava';
import type { ExecutionContext } from 'ava';
import fc from 'fast-check';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { Duplex, PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setImmediate as immediate } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { CriError } from '../../../../src/core/model/errors.ts';
import type { Logger } from '../../../../src/core/model/logger.ts';
import { checkFlags } from '../../../../src/cri/streaming/requests.ts';
import type { RemoteCommand, StreamingRequest, TerminalSize } from '../../../../src/cri/streaming/requests.ts';
import { terminalSizes } from '../../../../src/cri/streaming/resizes.ts';
import { SpdyConnection } from '../../../../src/cri/streaming/spdy/connection.ts';
import { FrameDecoder, FrameKind, controlFrame } from '../../../../src/cri/streaming/spdy/frames.ts';
import type { Frame } from '../../../../src/cri/streaming/spdy/frames.ts';
import { serveSpdyRemoteCommand } from '../../../../src/cri/streaming/spdy/remote-command.ts';
import type { SpdyStream } from '../../../../src/cri/streaming/spdy/stream.ts';
import { plainMessage, statusMessage } from '../../../../src/cri/streaming/status.ts';
import { MAX_WAITING_CONNECTIONS, StreamingServer } from '../../../../src/cri/streaming/streaming-server.ts';
import { TokenCache } from '../../../../src/cri/streaming/tokens.ts';
import { eventually } from '../../../lib/eventually.ts';
import { SpdyClientFrames, streamsOf } from './spdy-client.ts';

const logger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  with: () => logger,
};

/** A connection whose client is the test: it sends `input`, and reads the output from `sent`. */
function wire(input: readonly Buffer[]): { socket: Duplex; sent: () => Buffer } {
  const output: Buffer[] = [];
  const source = Readable.from(input);
  const socket = Duplex.from({
    readable: source,
    writable: new PassThrough().on('data', (chunk: Buffer) => output.push(chunk)),
  });
  return { socket, sent: () => Buffer.concat(output) };
}

/** Copies its input to its output, in capitals. */
const capitals: RemoteCommand = {
  kind: 'exec',
  flags: { stdin: true, stdout: true, stderr: false, tty: false },
  run: async ({ stdin, stdout }) => {
    const input = stdin === undefined ? '' : await text(stdin);
    stdout?.write(input.toUpperCase());
    return 7;
  },
};

async function recordedSession(): Promise<Buffer[]> {
  const client = new SpdyClientFrames();
  return [
    await client.open(1, { streamtype: 'error' }),
    client.fin(1),
    await client.open(3, { streamtype: 'stdin' }),
    client.ping(1),
    await client.open(5, { streamtype: 'stdout' }),
    client.fin(5),
    client.data(3, 'hello '),
    client.data(3, 'world'),
    client.fin(3),
  ];
}

test('a SPDY session carries input, output, status and pings', async (t) => {
  const session = Buffer.concat(await recordedSession());
  // Whole, and in pieces that split every frame.
  for (const size of [session.length, 1, 7]) {
    const pieces: Buffer[] = [];
    for (let at = 0; at < session.length; at += size) pieces.push(session.subarray(at, at + size));
    const input = new PassThrough();
    const output: Buffer[] = [];
    const writable = new PassThrough().on('data', (chunk: Buffer) => output.push(chunk));
    const socket = Duplex.from({ readable: input, writable });
    writable.once('finish', () => input.end());
    for (const piece of pieces) input.write(piece);
    await serveSpdyRemoteCommand(socket, capitals, 'v4.channel.k8s.io');
    const { content, ended, control } = streamsOf(Buffer.concat(output));
    t.is(content.get(5), 'HELLO WORLD');
    t.like(JSON.parse(content.get(1) ?? ''), { reason: 'NonZeroExitCode' });
    t.deepEqual([...ended].sort(), [1, 5]);
    t.is(control.filter((frame) => frame.type === 'control' && frame.kind === 6).length, 1);
  }
});

test('any client input ends the connection', async (t) => {
  const session = Buffer.concat(await recordedSession());
  const edit = fc.record({
    at: fc.nat(session.length - 1),
    remove: fc.nat(12),
    insert: fc.uint8Array({ maxLength: 12 }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(edit, { minLength: 1, maxLength: 6 }),
      fc.integer({ min: 1, max: 300 }),
      async (edits, size) => {
        let bytes = session;
        for (const { at, remove, insert } of edits) {
          bytes = Buffer.concat([bytes.subarray(0, at), insert, bytes.subarray(at + remove)]);
        }
        const pieces: Buffer[] = [];
        for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.subarray(at, at + size));
        const { socket, sent } = wire(pieces);
        const connection = new SpdyConnection(socket, (stream) => {
          stream.resume();
          stream.end('answer');
          return true;
        });
        await connection.run().catch((error: unknown) => {
          t.true(error instanceof Error);
        });
        t.true(socket.destroyed);
        t.true(sent().length < 100_000);
      },
    ),
    { numRuns: 500 },
  );
});

test('a control frame in single bytes is copied once', (t) => {
  const frame = controlFrame(FrameKind.SETTINGS, 0, [], Buffer.alloc(60_000, 7));
  const decoder = new FrameDecoder();
  const frames: Frame[] = [];
  const concat = Buffer.concat.bind(Buffer);
  let copied = 0;
  Buffer.concat = (list, length) => {
    const joined = concat(list, length);
    copied += joined.length;
    return joined;
  };
  try {
    for (const byte of frame) frames.push(...decoder.decode(Buffer.of(byte)));
  } finally {
    Buffer.concat = concat;
  }
  t.like(frames, [{ type: 'control', kind: FrameKind.SETTINGS, payload: frame.subarray(8) }]);
  t.is(frames.length, 1);
  t.true(copied < 2 * frame.length, `${String(copied)} bytes were copied`);
});

test('a stalled reader causes backpressure', async (t) => {
  const client = new SpdyClientFrames();
  let given = 0;
  const open = await client.open(1, { streamtype: 'stdin' });
  const flood = function* () {
    yield open;
    for (;;) {
      given += 65_536;
      yield client.data(1, Buffer.alloc(65_536));
    }
  };
  const output = new PassThrough();
  output.resume();
  const socket = Duplex.from({ readable: Readable.from(flood()), writable: output });
  const run = new SpdyConnection(socket, () => true).run();
  for (let before = -1; before !== given;) {
    before = given;
    for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
  }
  t.true(given < 4_000_000, `${String(given)} bytes were taken`);
  socket.destroy();
  await t.throwsAsync(run);
});

test('streams without readers share one bound', async (t) => {
  const client = new SpdyClientFrames();
  const streams: SpdyStream[] = [];
  let [given, received] = [0, 0];
  async function* input() {
    for (let id = 1; id <= 199; id += 2) {
      yield await client.open(id, { streamtype: 'data', port: '1', requestid: String(id) });
      given += 100_000;
      yield client.data(id, Buffer.alloc(100_000));
    }
    // The end of the connection would end its streams, read or not.
    await eventually('the readers', () => received === 10_000_000);
  }
  const source = Readable.from(input(), { highWaterMark: 1 });
  const socket = Duplex.from({ readable: source, writable: new PassThrough().resume() });
  t.teardown(() => socket.destroy());
  const connection = new SpdyConnection(socket, (stream) => streams.push(stream) > 0);
  const ended = connection.run();
  const held = () => streams.reduce((sum, { readableLength }) => sum + readableLength, 0);
  await eventually('a wait for the readers', () => held() > 4_000_000);
  // What the source offers at once is read in these turns.
  for (let turn = 0; turn < 1000; turn++) await immediate();
  t.true(given < 6_000_000 && held() < 5_000_000, `${String(given)} bytes read, ${String(held())} held`);
  const reading = setInterval(() => {
    for (const stream of streams) {
      if (stream.listenerCount('data') === 0) stream.on('data', (chunk: Buffer) => (received += chunk.length));
    }
  }, 1);
  await ended.finally(() => {
    clearInterval(reading);
  });
  t.is(received, 10_000_000);
});

test('the 2,001st stream of a connection is refused', async (t) => {
  const client = new SpdyClientFrames();
  const frames: Buffer[] = [];
  for (let id = 1; id <= 4001; id += 2) frames.push(await client.open(id, { streamtype: 'data' }));
  const { socket, sent } = wire(frames);
  let accepted = 0;
  await new SpdyConnection(socket, () => (accepted += 1) > 0).run();
  t.is(accepted, 2000);
  const resets = streamsOf(sent()).control.filter((frame) => 'kind' in frame && frame.kind === FrameKind.RST_STREAM);
  t.deepEqual(
    resets.map((frame) => 'payload' in frame && frame.payload.readUInt32BE(0)).filter((id) => id === 4001),
    [4001],
  );
});

test('at most 1,000 single-use tokens wait one minute', (t) => {
  let now = 0;
  const cache = new TokenCache<number>(() => now);
  const token = cache.insert(1);
  t.regex(token, /^[\w-]{8}$/);
  t.is(cache.consume(token), 1);
  t.is(cache.consume(token), undefined);
  const late = cache.insert(2);
  now = 60_000;
  t.is(cache.consume(late), undefined);
  for (let i = 0; i < 1000; i++) cache.insert(i);
  t.throws(() => cache.insert(0), { message: /maximum number of in-flight requests/ });
  now = 120_000;
  t.notThrows(() => cache.insert(0));
});

test('unused tokens have at most 64 MiB of commands', (t) => {
  let now = 0;
  const tokens = new TokenCache<number>(() => now);
  const insert = () => tokens.insert(1, 16 * 2 ** 20);
  const [first] = [insert(), insert(), insert(), insert()];
  t.throws(insert, { instanceOf: CriError, message: /^the commands of 4 streaming URLs .* more than 67108864 bytes/ });
  t.is(tokens.consume(first), 1);
  insert();
  t.throws(insert);
  now = 60_000;
  t.notThrows(insert, 'the others have expired');
});

test('contradictory session flags are refused', (t) => {
  const none = { stdin: false, stdout: false, stderr: false, tty: false };
  t.throws(() => checkFlags(none), { message: /one of stdin, stdout, or stderr must be set/ });
  t.throws(() => checkFlags({ ...none, stderr: true, tty: true }), { message: /tty and stderr cannot both be true/ });
  t.notThrows(() => checkFlags({ ...none, stdout: true, tty: true }));
});

test('resize messages are read in pieces of any length', async (t) => {
  const bytes = Buffer.from('{"Width":80,"Height":24}{"Width":0,"Height":1}x{"Width":81,"Height":25}');
  for (const size of [1, 10, 100]) {
    const pieces: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.subarray(at, at + size));
    const sizes: TerminalSize[] = [];
    for await (const found of terminalSizes(Readable.from(pieces))) sizes.push(found);
    t.deepEqual(sizes, [
      { width: 80, height: 24 },
      { width: 81, height: 25 },
    ]);
  }
});

test('Braces without a size are skipped in one pass', async (t) => {
  // Anything more than one look at each byte would hold the server up for minutes.
  for (const piece of ['}', '{', '{}', '{"Width":', '{"Width":1}']) {
    const flood = Buffer.alloc(4 * 2 ** 20, piece);
    for await (const size of terminalSizes(Readable.from([flood]))) t.fail(JSON.stringify(size));
  }
  t.pass();
});

test('session status follows the protocol version', (t) => {
  t.deepEqual(JSON.parse(statusMessage({ exitCode: 0 })), { metadata: {}, status: 'Success' });
  t.like(JSON.parse(statusMessage({ exitCode: 3 })), { details: { causes: [{ reason: 'ExitCode', message: '3' }] } });
  t.like(JSON.parse(statusMessage({ error: new Error('why') })), { reason: 'InternalError', message: 'why' });
  t.is(plainMessage({ exitCode: 0 }), '');
  t.regex(plainMessage({ exitCode: 3 }), /exit status 3/);
});

async function serve(t: ExecutionContext): Promise<StreamingServer> {
  const server = new StreamingServer({ address: '127.0.0.1', port: 0, idleTimeoutMs: 0, tls: undefined, logger });
  await server.start();
  t.teardown(() => server.stop());
  return server;
}

/** Sends a request's head and returns the answer until the server closes. */
async function ask(url: string, method: string, headers: string[]): Promise<string> {
  const { port, pathname } = new URL(url);
  const socket = connect({ host: '127.0.0.1', port: Number(port) });
  socket.write(`${[`${method} ${pathname} HTTP/1.1`, 'Host: localhost', ...headers].join('\r\n')}\r\n\r\n`);
  return text(socket);
}

const spdy = ['Connection: Upgrade', 'Upgrade: SPDY/3.1'];

test('refused upgrades return a reason and consume the URL', async (t) => {
  const server = await serve(t);
  const request: StreamingRequest = capitals;
  const refused = async (method: string, headers: string[]) => ask(server.offer(request), method, headers);
  t.regex(await refused('GET', []), /^HTTP\/1.1 400 [^]*missing upgrade headers/);
  t.regex(await refused('DELETE', spdy), /^HTTP\/1.1 404 /);
  t.regex(await refused('POST', spdy), /^HTTP\/1.1 400 [^]*X-Stream-Protocol-Version is missing/);
  const unknown = await refused('POST', [...spdy, 'X-Stream-Protocol-Version: v9.channel.k8s.io']);
  t.regex(
    unknown,
    /^HTTP\/1.1 403 [^]*X-Accepted-Stream-Protocol-Versions: v4.channel.k8s.io\r\n[^]*client supports \[v9/,
  );
  const url = server.offer(request);
  t.regex(await ask(url.replace('/exec/', '/attach/'), 'POST', spdy), /^HTTP\/1.1 404 /);
  t.regex(await ask(url, 'POST', spdy), /^HTTP\/1.1 404 /);
});

test('a WebSocket message above 1 MiB ends its session', async (t) => {
  const server = await serve(t);
  const client = new WebSocket(server.offer(capitals).replace(/^http/, 'ws'), 'v5.channel.k8s.io');
  client.on('error', () => undefined);
  await once(client, 'open');
  client.send(Buffer.alloc(2 ** 20 + 1));
  t.deepEqual(await once(client, 'close').then(([code]: unknown[]) => code), 1009);
});

test('idle connections are limited and block nobody', async (t) => {
  const server = await serve(t);
  const { port } = new URL(server.offer(capitals));
  let closed = 0;
  const sockets: Socket[] = [];
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
  });
  for (let count = 0; count < MAX_WAITING_CONNECTIONS + 20; count += 1) {
    const socket = connect({ host: '127.0.0.1', port: Number(port) });
    socket.on('error', () => undefined);
    socket.once('close', () => (closed += 1));
    await once(socket, 'connect');
    sockets.push(socket);
  }
  t.regex(await ask(server.offer(capitals), 'GET', []), /^HTTP\/1.1 400 /);
  await eventually('the end of 20', () => closed >= 20);
  t.pass();
});

test("the client's first supported version is chosen", async (t) => {
  const server = await serve(t);
  const url = new URL(server.offer(capitals));
  const socket = connect({ host: '127.0.0.1', port: Number(url.port) });
  t.teardown(() => socket.destroy());
  const versions =
    'X-Stream-Protocol-Version: v9.channel.k8s.io, v3.channel.k8s.io\r\nX-Stream-Protocol-Version: v4.channel.k8s.io';
  socket.write(`POST ${url.pathname} HTTP/1.1\r\nHost: x\r\n${spdy.join('\r\n')}\r\n${versions}\r\n\r\n`);
  const answer = await new Promise<string>((resolve) =>
    socket.once('data', (chunk: Buffer) => resolve(chunk.toString())),
  );
  t.regex(answer, /^HTTP\/1.1 101 [^]*Upgrade: SPDY\/3.1\r\nX-Stream-Protocol-Version: v3.channel.k8s.io\r\n\r\n$/);
});
