import test from 'ava';
import { createCipheriv, createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { Crictl, TRANSPORTS, ended } from './crictl-client.ts';
import { ServerFixture } from './server-fixture.ts';
import { listening } from './streaming-client.ts';

const MIB = 2 ** 20;
const SIZE = Number(process.env['STREAMING_TRANSFER_MIB'] ?? 64) * MIB;

/** Bytes that never repeat, the same in each run. */
function* keystream(size: number): Generator<Buffer> {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16));
  for (let left = size; left > 0; left -= MIB) yield cipher.update(Buffer.alloc(Math.min(left, MIB)));
}

async function digest(source: Readable): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(source, hash);
  return hash.digest('hex');
}

test.serial(`crictl transfers ${String(SIZE / MIB)} MiB each way unchanged`, async (t) => {
  t.timeout(3_600_000);
  const server = await ServerFixture.make(t);
  const crictl = await Crictl.for(t, server.socket);
  const pod = await server.pod('transfer');
  const file = join(server.directory, 'data');
  await pipeline(keystream(SIZE), createWriteStream(file));
  const expected = await digest(createReadStream(file));
  const listeners =
    'for p in 1 2; do nc -l -p 900$p -e cat /data & nc -l -p 901$p -e sha256sum & done; wait; sleep 100000';
  const id = await server.sh(pod, 'main', listeners, {
    mounts: [{ hostPath: file, containerPath: '/data', readonly: true }],
  });
  await listening(server, id, 9001, 9002, 9011, 9012);

  const measured = async (what: string, move: () => Promise<string>) => {
    const start = performance.now();
    t.is((await move()).slice(0, 64), expected, what);
    const seconds = (performance.now() - start) / 1000;
    t.log(`${what}: ${seconds.toFixed(1)} s, ${String(Math.round(SIZE / MIB / seconds))} MiB/s`);
  };
  for (const [index, transport] of TRANSPORTS.entries()) {
    const exec = (...args: string[]) => crictl.spawn('exec', '-r', transport, ...args);
    await measured(`${transport} exec, out`, async () => {
      const client = exec(id, 'cat', '/data');
      return digest(client.stdout);
    });
    await measured(`${transport} exec, in`, async () => {
      const client = exec('-i', id, 'sha256sum');
      const [{ stdout }] = await Promise.all([ended(client), pipeline(createReadStream(file), client.stdin)]);
      return stdout;
    });
    const toPod = async (port: number) => {
      const forward = await crictl.forward(transport, pod, port);
      return { socket: connect({ host: '127.0.0.1', port: forward.local, allowHalfOpen: true }), forward };
    };
    await measured(`${transport} port-forward, out`, async () => {
      const { socket, forward } = await toPod(9001 + index);
      const sum = await digest(socket);
      socket.end();
      await forward.close();
      return sum;
    });
    await measured(`${transport} port-forward, in`, async () => {
      const { socket, forward } = await toPod(9011 + index);
      const [sum] = await Promise.all([text(socket), pipeline(createReadStream(file), socket, { end: true })]);
      await forward.close();
      return sum;
    });
  }
});
