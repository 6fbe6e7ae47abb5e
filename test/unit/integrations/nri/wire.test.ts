import '../../../lib/property-seed.ts';
import test from 'ava';
import fc from 'fast-check';
import { duplexPair } from 'node:stream';
import { PluginService, RuntimeService } from '../../../../api/gen/nri.ts';
import { LostCallError, RemoteError } from '../../../../src/integrations/nri/wire/methods.ts';
import { Mux, PLUGIN_CHANNEL } from '../../../../src/integrations/nri/wire/mux.ts';
import { TtrpcClient } from '../../../../src/integrations/nri/wire/ttrpc-client.ts';
import { TtrpcServer } from '../../../../src/integrations/nri/wire/ttrpc-server.ts';
import {
  FrameType,
  frame,
  frameReader,
  MAX_MESSAGE_BYTES,
} from '../../../../src/integrations/nri/wire/ttrpc-frames.ts';
import { eventually, HANG_MS } from '../../../lib/eventually.ts';
import { TestPlugin } from '../../../lib/nri-plugin.ts';
import { makePlugins } from './fixture.ts';

const RUNS = Number(process.env['NRI_FUZZ_RUNS'] ?? 2000);

/** A client and a server with each other's bytes. */
function pair(pieces = Infinity) {
  const send = (bytes: Buffer, receive: (part: Buffer) => void) => {
    for (let at = 0; at < bytes.length; at += pieces) receive(bytes.subarray(at, at + pieces));
  };
  const client: TtrpcClient = new TtrpcClient((bytes) => send(bytes, (part) => server.receive(part)));
  const server = new TtrpcServer((bytes) => send(bytes, (part) => client.receive(part)));
  return { client, server };
}

const registration = { pluginIdx: '10', pluginName: 'a', NRIVersion: '' };

test('calls are answered, in whatever pieces they come', async (t) => {
  for (const pieces of [1, 3, 10, Infinity]) {
    const { client, server } = pair(pieces);
    server.on(PluginService.configure, ({ config }) => Promise.resolve({ events: config.length }));
    const request = { ...PluginService.configure.requestDeserialize(Buffer.alloc(0)), config: 'x'.repeat(5000) };
    t.deepEqual(await client.call(PluginService.configure, request, HANG_MS), { events: 5000 });
  }
});

test('errors, unknown methods and lost calls are told apart', async (t) => {
  const { client, server } = pair();
  server.on(RuntimeService.registerPlugin, () => Promise.reject(new Error('no')));
  const refused = await t.throwsAsync(client.call(RuntimeService.registerPlugin, registration, HANG_MS), {
    instanceOf: RemoteError,
    message: 'no',
  });
  t.is(refused?.code, 2);
  const unknown = await t.throwsAsync(client.call(PluginService.shutdown, {}, HANG_MS), { instanceOf: RemoteError });
  t.true(unknown?.isUnimplemented);
  const silent = new TtrpcClient(() => undefined);
  await t.throwsAsync(silent.call(PluginService.shutdown, {}, 1), { instanceOf: LostCallError, message: /no answer/ });
  const waiting = silent.call(PluginService.shutdown, {}, HANG_MS);
  silent.end('gone');
  await t.throwsAsync(waiting, { instanceOf: LostCallError, message: 'gone' });
  await t.throwsAsync(silent.call(PluginService.shutdown, {}, HANG_MS), { instanceOf: LostCallError });
});

test('a message is sent in the pieces that plugins read', async (t) => {
  // A plugin of Go reads with 4096 bytes first, then the rest of the message into its own buffer.
  const [near, far] = duplexPair();
  const mux = new Mux(near, () => undefined);
  const bytes: Buffer[] = [];
  far.on('data', (piece: Buffer) => bytes.push(piece));
  const sizes = [10, 4096, 4097, 100_000];
  for (const size of sizes) mux.send(PLUGIN_CHANNEL, Buffer.alloc(size));
  const total = sizes.reduce((sum, size) => sum + size, 0) + 8 * 6;
  await eventually('all bytes', () => Buffer.concat(bytes).length === total);
  const all = Buffer.concat(bytes);
  const pieces: number[] = [];
  for (let at = 0; at < all.length; at += 8 + pieces.at(-1)!) pieces.push(all.readUInt32BE(at + 4));
  t.deepEqual(pieces, [10, 4096, 4096, 1, 4096, 95_904]);
});

test('frames that are too large end the connection', async (t) => {
  const [near, far] = duplexPair();
  const ended = new Promise((resolve) => new Mux(near, resolve));
  const header = Buffer.alloc(8);
  header.writeUInt32BE(1, 0);
  header.writeUInt32BE(MAX_MESSAGE_BYTES + 11, 4);
  far.write(header);
  t.regex(String(await ended), /exceeds the maximum/);
  const reader = frameReader(() => undefined);
  const large = frame(1, FrameType.REQUEST, Buffer.alloc(0));
  large.writeUInt32BE(MAX_MESSAGE_BYTES + 1, 0);
  t.throws(() => reader.push(large), { message: /exceeds the maximum/ });
});

test('a peer that does not read is disconnected', async (t) => {
  const [near] = duplexPair();
  const ended = new Promise((resolve) => {
    const mux = new Mux(near, resolve);
    for (let sent = 0; sent < 6; sent += 1) mux.send(PLUGIN_CHANNEL, Buffer.alloc(MAX_MESSAGE_BYTES));
  });
  t.is(await ended, 'the plugin does not read');
});

test('more calls at once than a plugin needs are refused', async (t) => {
  const { client, server } = pair();
  const hold = Promise.withResolvers<object>();
  server.on(PluginService.shutdown, () => hold.promise);
  const calls = Array.from({ length: 65 }, () => client.call(PluginService.shutdown, {}, HANG_MS));
  await t.throwsAsync(calls.at(-1)!, { instanceOf: RemoteError, message: /too many/ });
  hold.resolve({});
  await Promise.all(calls.slice(0, -1));
  t.pass();
});

test('bytes of any kind end a connection or are answered', async (t) => {
  const recorded: Buffer[] = [];
  const [near, far] = duplexPair();
  far.on('data', (bytes: Buffer) => recorded.push(bytes));
  const speaker = new TestPlugin(near);
  void speaker.register('10-fuzz').catch(() => undefined);
  void speaker.update({ update: [{ containerId: 'c', linux: undefined, ignoreFailure: true }] }).catch(() => undefined);
  await eventually('a recording', () => Buffer.concat(recorded).length > 80);
  speaker.end();
  const session = Buffer.concat(recorded);
  const changes = fc.array(fc.tuple(fc.nat({ max: session.length - 1 }), fc.nat({ max: 255 })), { maxLength: 6 });
  const mutated = changes.map((list) => {
    const bytes = Buffer.from(session);
    for (const [at, value] of list) bytes[at] = value;
    return bytes;
  });
  const anything = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
  const cuts = fc.integer({ min: 1, max: 64 });
  const { plugins, host } = makePlugins();
  await fc.assert(
    fc.asyncProperty(fc.oneof(mutated, anything), cuts, async (bytes, cut) => {
      const [server, client] = duplexPair();
      client.on('error', () => undefined).resume();
      const connected = plugins.connect(server, host);
      for (let at = 0; at < bytes.length && client.writable; at += cut) client.write(bytes.subarray(at, at + cut));
      client.end();
      await connected;
    }),
    { numRuns: RUNS },
  );
  t.true(plugins.isIdle);
});
