// A guest of its own: `test/long zfs-faults`.
import { open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { ImageServiceService, RemoveImageRequest, RuntimeServiceService } from '../../../api/gen/cri.ts';
import {
  ReceiveRequest,
  SendRequest,
  type SendResponse,
  TransferService,
} from '../../../api/gen/proxmoxlxcri/v1/transfer.ts';
import { StatusCode } from '../../../src/core/model/errors.ts';
import { difference, inventory } from '../../integration/leaks.ts';
import { ServerFixture } from '../../integration/server-fixture.ts';
import { eventually } from '../../lib/eventually.ts';
import { tarOf } from '../../unit/integrations/oci/image-builder.ts';
import { run, TANK, zfs } from './pools.ts';
import { receiveFile, sendToFile } from './send-receive.ts';

const DATASET = `${TANK}/streams`;
const NAME = 'localhost/received:1';
const FOREVER = 'echo mine >/mark; dd if=/dev/urandom of=/own bs=1M count=16; sync; echo ready; exec sleep 1000000';
const PART = 65_536;

/** A server with a container that has written 16 MiB, and a stream of it in a file. */
async function fixture(t: ExecutionContext) {
  await zfs.createFilesystem(DATASET);
  const server = await ServerFixture.make(t, '', { dataset: DATASET });
  const { client } = server;
  const id = await server.sh(await server.pod('pod'), 'app', FOREVER);
  await server.said('pod', 'app', 'ready');
  const stream = join(server.directory, 'stream');
  await sendToFile(client, { containerId: id }, stream);
  const send = (signal = new AbortController().signal) =>
    client.stream(TransferService.send, SendRequest.create({ containerId: id }), signal);

  /** Uploads a stream until `cut` throws, which gets the number of bytes sent. */
  const upload = (path: string, cut: (sent: number) => Promise<void> = async () => undefined) =>
    client.upload(
      TransferService.receive,
      (async function* () {
        yield ReceiveRequest.create({ name: NAME });
        const file = await open(path);
        try {
          const data = await file.readFile();
          for (let at = 0; at < data.length; at += PART) {
            await cut(at);
            yield ReceiveRequest.create({ data: data.subarray(at, at + PART) });
          }
          await cut(data.length);
        } finally {
          await file.close();
        }
      })(),
    );
  const receive = (path: string) => receiveFile(client, path, NAME);
  const removeImage = () =>
    client.call(ImageServiceService.removeImage, RemoveImageRequest.create({ image: { image: NAME } }));
  const isMine = async () => (await server.exec(id, 'cat', '/mark')).stdout.toString() === 'mine\n';
  const descriptors = async () => (await readdir(`/proc/${String(server.pid)}/fd`)).length;
  return { server, id, stream, send, upload, receive, removeImage, isMine, descriptors };
}

/** Waits until something of the store has such a name. */
const appears = (name: RegExp) =>
  eventually(`a dataset ${String(name)}`, async () =>
    name.test(await run('zfs', 'list', '-Hro', 'name', '-t', 'all', DATASET)),
  );

test.serial('streams that are cut off or of another kind leave nothing', async (t) => {
  t.timeout(3_600_000);
  const { server, id, stream, send, upload, receive, removeImage, isMine, descriptors } = await fixture(t);
  // What is made once is made now.
  await receive(stream);
  await removeImage();
  await server.end('SIGTERM');
  await server.start();
  const before = await inventory(server);
  const open = await descriptors();
  const unchanged = async (what: string) => {
    let left: string[] = [];
    await eventually(`nothing left after ${what}`, async () => {
      left = difference(before, await inventory(server));
      return left.length === 0;
    }).catch(() => undefined);
    t.deepEqual(left, [], what);
    t.true(await isMine(), what);
  };

  const whole = await readFile(stream);
  const bad = join(server.directory, 'bad');
  const plain = join(server.directory, 'plain');
  await run(
    'sh',
    '-c',
    `zfs snapshot ${DATASET}/layers@raw && zfs send ${DATASET}/layers@raw >${plain}; zfs destroy ${DATASET}/layers@raw`,
  );
  const kinds = new Map([
    ['nothing', Buffer.alloc(0)],
    ['a tar', tarOf({ name: 'file', body: 'content' })],
    ['a stream of zfs send', await readFile(plain)],
    ...[10, 100, 2000, whole.length / 4, whole.length / 2, whole.length - 40, whole.length - 1].map(
      (length) => [`${String(Math.floor(length))} bytes`, whole.subarray(0, length)] as const,
    ),
    ['more at its end', Buffer.concat([whole, Buffer.from('x')])],
  ]);
  await rm(plain);
  for (const [what, data] of kinds) {
    await writeFile(bad, data);
    for (const way of [receive, upload]) {
      const error = await t.throwsAsync<Error & { code: number }>(way(bad), undefined, what);
      t.is(error?.code, StatusCode.DATA_LOSS, `${what}: ${error?.message ?? ''}`);
    }
  }
  await rm(bad);
  await unchanged('bad streams');
  t.true((await descriptors()) <= open + 2, 'descriptors');

  const gone = async (sent: number) => {
    if (sent < whole.length / 2) return;
    await appears(/incoming-/);
    throw new Error('the client is gone');
  };
  await t.throwsAsync(upload(stream, gone));
  await unchanged('a client that is gone amid receive');
  const cancel = new AbortController();
  const messages = send(cancel.signal);
  await t.throwsAsync(async () => {
    for await (const { data } of messages as AsyncIterable<SendResponse>) if (data.length > PART) cancel.abort();
  });
  await unchanged('a client that is gone amid send');
  /** Kills the server when something has that name. `work` gets a promise that resolves then. */
  const killed = async (what: string, name: RegExp, work: (gone: Promise<unknown>) => Promise<unknown>) => {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    const failed = t.throwsAsync(work(promise), undefined, what);
    await appears(name);
    await server.end('SIGKILL');
    resolve(undefined);
    await failed;
    await server.start();
    await unchanged(`a server killed amid ${what}`);
  };
  await killed('receive', /incoming-/, (gone) =>
    upload(stream, async (sent) => {
      if (sent >= whole.length / 2) await gone;
    }),
  );
  await killed('send', /@view-/, async (gone) => {
    const parts = send()[Symbol.asyncIterator]();
    await parts.next();
    await gone;
    while ((await parts.next()).done !== true);
  });

  await receive(stream);
  const copy = await server.sh(await server.pod('copies'), 'copy', 'cat /mark; ls -l /own', { image: { image: NAME } });
  await server.said('copies', 'copy', 'mine');
  await server.client.call(RuntimeServiceService.removeContainer, { containerId: copy });
  await server.client.call(RuntimeServiceService.removeContainer, { containerId: id });
});
