import { Client, credentials, status } from '@grpc/grpc-js';
import type { ServiceError } from '@grpc/grpc-js';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { spawn, spawnSync } from 'node:child_process';
import { link, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CheckpointPodRequest,
  CreateContainerRequest,
  RuntimeServiceClient,
  RuntimeServiceService,
} from '../../../api/gen/cri.ts';
import { ImageStoreService } from '../../../api/gen/proxmoxlxcri/v1/images.ts';
import { ServerClient } from '../../../src/cli/client/server.ts';
import { Metrics } from '../../../src/core/metrics/metrics.ts';
import { notFound } from '../../../src/core/model/errors.ts';
import type { Logger } from '../../../src/core/model/logger.ts';
import { callDescriber } from '../../../src/cri/call-fields.ts';
import { implement } from '../../../src/cri/handlers.ts';
import type { Handlers } from '../../../src/cri/handlers.ts';
import { CriServer } from '../../../src/cri/server.ts';
import { eventually } from '../../lib/eventually.ts';

const lines: { message: string; fields: Record<string, unknown> }[] = [];
const note = (message: string, fields: Record<string, unknown> = {}) => {
  lines.push({ message, fields });
};
const logger: Logger = { debug: note, info: note, warn: note, error: note, with: () => logger };

async function directory(t: ExecutionContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'cri-'));
  t.teardown(() => rm(path, { recursive: true, force: true }));
  return path;
}

async function serve(t: ExecutionContext, path: string, handlers: Handlers<typeof RuntimeServiceService>) {
  const metrics = new Metrics();
  const shutdown = new AbortController();
  const none = { list: () => [] };
  const describer = callDescriber(none, none);
  const parts = { logger, metrics, shutdown: shutdown.signal, describer, handlers: new Set(['lxc']) };
  const services = [implement(RuntimeServiceService, handlers, parts)];
  const server = new CriServer({ path, group: 0, maxMessageBytes: 16_777_216, services, logger });
  await server.start();
  const client = new RuntimeServiceClient(`unix://${path}`, credentials.createInsecure(), {
    'grpc.default_authority': 'localhost',
    'grpc.max_receive_message_length': 16_777_216,
    'grpc.max_send_message_length': -1,
  });
  const stop = async () => {
    shutdown.abort();
    await server.stop();
  };
  t.teardown(async () => {
    client.close();
    await stop();
  });
  return { client, metrics, stop };
}

function failure<Q>(
  call: (request: Q, callback: (error: ServiceError | null) => void) => unknown,
  request: Q,
): Promise<ServiceError | null> {
  return new Promise((resolve) => {
    call(request, resolve);
  });
}

test('the socket has mode 0660; errors keep their code', async (t) => {
  const path = join(await directory(t), 'cri.sock');
  const { client, metrics } = await serve(t, path, {
    podSandboxStatus: ({ podSandboxId }) => Promise.reject(notFound('pod sandbox', podSandboxId)),
    listContainers: () => Promise.reject(new Error('broken\ninside')),
  });
  t.is((await stat(path)).mode & 0o777, 0o660);
  const missing = await failure(client.podSandboxStatus.bind(client), { podSandboxId: 'x', verbose: false });
  t.is(missing?.code, status.NOT_FOUND);
  t.is(missing?.details, 'pod sandbox "x" not found');
  t.is((await failure(client.listContainers.bind(client), { filter: undefined }))?.code, status.UNKNOWN);
  t.is((await failure(client.checkpointPod.bind(client), CheckpointPodRequest.create()))?.code, status.UNIMPLEMENTED);
  const text = await metrics.registry.metrics();
  t.regex(text, /rpc_requests_total\{method="PodSandboxStatus",handler="",code="NOT_FOUND"\} 1/);
  t.regex(text, /rpc_duration_seconds_count\{method="CheckpointPod",handler=""\} 1/);
});

test('only a stale socket is replaced', async (t) => {
  const path = join(await directory(t), 'cri.sock');
  const live = createServer();
  await new Promise<void>((resolve) => live.listen(path, resolve));
  const other = () => new CriServer({ path, group: 0, maxMessageBytes: 4_194_304, services: [], logger }).start();
  await t.throwsAsync(other(), { message: /another server listens/ });
  // Node.js unlinks on close; a killed process does not, so the file is put back as it would leave it.
  const stale = join(await directory(t), 'stale.sock');
  const code = `require('net').createServer().listen(${JSON.stringify(stale)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', code]);
  t.true((await stat(stale)).isSocket());
  const { client } = await serve(t, stale, {
    version: () =>
      Promise.resolve({ version: '0.1.0', runtimeName: 'n', runtimeVersion: 'v', runtimeApiVersion: 'v1' }),
  });
  t.is(await failure(client.version.bind(client), { version: '' }), null);
  await new Promise((resolve) => live.close(resolve));
  await writeFile(path, 'not a socket');
  await t.throwsAsync(other(), { message: /is not a socket/ });
});

test('a socket passed by systemd is used', async (t) => {
  const path = join(await directory(t), 'activated.sock');
  const passed = createServer();
  await new Promise<void>((resolve) => passed.listen(path, resolve));
  const module = new URL('../../../src/cri/listener.ts', import.meta.url).href;
  const script = `
    const { listen } = await import(${JSON.stringify(module)});
    const refusal = await listen({ path: '/nowhere/cri.sock', group: 0 }).catch((error) => error.message);
    if (!/systemd passed .*activated.sock, not/.test(refusal)) throw new Error(refusal);
    await listen({ path: ${JSON.stringify(path)}, group: 0, onConnection: (socket) => { socket.end('activated'); } });
    console.log('listening');`;
  const { fd } = (passed as unknown as { _handle: { fd: number } })._handle;
  // The shell's process id stays the program's, as systemd's contract asks (sd_listen_fds(3)).
  const shell = [
    '-c',
    'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"',
    'sh',
    process.execPath,
    '--input-type=module',
    '-e',
    script,
  ];
  const child = spawn('sh', shell, { stdio: ['ignore', 'pipe', 'inherit', fd] });
  t.teardown(() => child.kill());
  await new Promise((resolve) => child.stdout?.once('data', resolve));
  // This process accepts no more, so that only the other one can answer; closing unlinks the first name.
  const second = `${path}.2`;
  await link(path, second);
  passed.close();
  const answer = await new Promise((resolve, reject) => {
    connect(second)
      .once('data', (data) => {
        resolve(String(data));
      })
      .once('error', reject);
  });
  t.is(answer, 'activated');
});

test('cancellation aborts handlers; shutdown does not wait for clients', async (t) => {
  const path = join(await directory(t), 'cri.sock');
  const arrived = Promise.withResolvers<undefined>();
  const aborted = Promise.withResolvers<undefined>();
  const streaming = Promise.withResolvers<undefined>();
  const { client, stop } = await serve(t, path, {
    execSync: (_request, { signal }) =>
      new Promise((_, reject) => {
        arrived.resolve(undefined);
        signal.addEventListener('abort', () => {
          aborted.resolve(undefined);
          reject(new Error('aborted'));
        });
      }),
    async *getContainerEvents(_request, { signal }) {
      streaming.resolve(undefined);
      await new Promise((resolve) => {
        signal.addEventListener('abort', resolve);
      });
      yield* [];
    },
  });
  const call = client.execSync({ containerId: 'c', cmd: ['x'], timeout: 0n }, () => undefined);
  await arrived.promise;
  call.cancel();
  await aborted.promise;
  const events = client.getContainerEvents({});
  const ended = new Promise((resolve) => {
    events.on('end', resolve);
    events.on('error', resolve);
    events.resume();
  });
  await streaming.promise;
  await stop();
  await ended;
  t.pass();
});

test('a cancelled stream that changes something is no success', async (t) => {
  const path = join(await directory(t), 'cri.sock');
  const ended = Promise.withResolvers<undefined>();
  const shutdown = new AbortController();
  const none = { list: () => [] };
  const metrics = new Metrics();
  const describer = callDescriber(none, none);
  const parts = { logger, metrics, shutdown: shutdown.signal, describer, handlers: new Set<string>() };
  const handlers: Handlers<typeof ImageStoreService> = {
    async *pull(_request, { signal }) {
      try {
        yield { layers: [], imageId: '' };
        await new Promise((resolve) => {
          signal.addEventListener('abort', resolve);
        });
        // What it waits for may not have noticed yet.
        yield { layers: [], imageId: '' };
      } finally {
        ended.resolve(undefined);
      }
    },
  };
  const services = [implement(ImageStoreService, handlers, parts)];
  const server = new CriServer({ path, group: 0, maxMessageBytes: 16_777_216, services, logger });
  await server.start();
  const client = new ServerClient(`unix://${path}`);
  t.teardown(async () => {
    client[Symbol.dispose]();
    shutdown.abort();
    await server.stop();
  });
  const abort = new AbortController();
  await t.throwsAsync(async () => {
    const messages: AsyncIterable<unknown> = client.stream(ImageStoreService.pull, { image: 'a' }, abort.signal);
    for await (const message of messages) {
      t.truthy(message);
      abort.abort();
    }
  });
  await ended.promise;
  const counted = /rpc_requests_total\{method="Pull",handler="",code="(\w+)"\} 1/;
  const code = await eventually('the outcome', async () => counted.exec(await metrics.registry.metrics())?.[1]);
  t.is(code, 'CANCELLED');
});

test('messages are limited to 16 MiB', async (t) => {
  const path = join(await directory(t), 'cri.sock');
  const { client } = await serve(t, path, { createContainer: () => Promise.resolve({ containerId: 'c' }) });
  const request = (bytes: number) =>
    CreateContainerRequest.create({
      podSandboxId: 'pod-id',
      config: { envs: [{ key: 'PASSWORD', value: Buffer.alloc(bytes, 'hunter2') }] },
    });
  const create = (bytes: number) => failure(client.createContainer.bind(client), request(bytes));
  t.is(await create(5_000_000), null);
  t.is((await create(17_000_000))?.code, status.RESOURCE_EXHAUSTED);
  const text = JSON.stringify(lines);
  t.true(text.includes('pod-id'));
  t.false(text.includes('hunter2'));
});

test('an unknown service returns an error', async (t) => {
  const path = join(await directory(t), 'cri.sock');
  await serve(t, path, {});
  const client = new Client(`unix://${path}`, credentials.createInsecure(), { 'grpc.default_authority': 'localhost' });
  t.teardown(() => {
    client.close();
  });
  const error = await new Promise<ServiceError | null>((resolve) => {
    client.makeUnaryRequest(
      '/runtime.v1alpha2.RuntimeService/Version',
      (x: Buffer) => x,
      (x: Buffer) => x,
      Buffer.alloc(0),
      resolve,
    );
  });
  t.is(error?.code, status.UNIMPLEMENTED);
});
