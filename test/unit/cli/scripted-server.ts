import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server, ServerCredentials, type ServerWritableStream, type ServiceDefinition, status } from '@grpc/grpc-js';
import type { ExecutionContext } from 'ava';
import { ImageServiceService, ImageStoreService, RuntimeServiceService } from '../../../api/gen/cri.ts';

/** Answers one kind of call, a stream with an async iterable. A thrown error's `code` becomes the status. */
export type Answer = (request: never) => unknown;

interface Call {
  method: string;
  request: unknown;
}

/** A server on its own socket with the given answers; other calls return UNIMPLEMENTED. */
export async function scriptedServer(
  t: ExecutionContext,
  answers: Record<string, Answer>,
): Promise<{ address: string; directory: string; calls: Call[]; methods: () => string[] }> {
  const directory = await mkdtemp(join(tmpdir(), 'scripted-server-'));
  const path = join(directory, 'cri.sock');
  const server = new Server();
  const calls: Call[] = [];
  const services: ServiceDefinition[] = [RuntimeServiceService, ImageServiceService, ImageStoreService];
  for (const service of services) {
    const handlers = Object.entries(service).map(([method, definition]) => {
      const unary = (call: { request: unknown }, callback: (error: unknown, value?: unknown) => void) => {
        calls.push({ method, request: call.request });
        const answer = answers[method];
        if (answer === undefined) {
          callback({ code: status.UNIMPLEMENTED, details: `${method} is not scripted` });
          return;
        }
        Promise.resolve()
          .then(() => answer(call.request as never))
          .then((value) => {
            // An empty message has every field.
            callback(null, Object.assign(definition.responseDeserialize(Buffer.alloc(0)) as object, value));
          }, callback);
      };
      const stream = (call: ServerWritableStream<unknown, unknown>) => {
        calls.push({ method, request: call.request });
        void (async () => {
          const answer = answers[method];
          if (answer === undefined)
            throw Object.assign(new Error(), { code: status.UNIMPLEMENTED, details: 'no stream' });
          for await (const value of answer(call.request as never) as AsyncIterable<object>) {
            call.write(Object.assign(definition.responseDeserialize(Buffer.alloc(0)) as object, value));
          }
          call.end();
        })().catch((error: unknown) => call.emit('error', error));
      };
      return [method, definition.responseStream ? stream : unary];
    });
    server.addService(service, Object.fromEntries(handlers) as never);
  }
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
  t.teardown(async () => {
    server.forceShutdown();
    await rm(directory, { recursive: true });
  });
  return { address: `unix://${path}`, directory, calls, methods: () => calls.map(({ method }) => method) };
}
