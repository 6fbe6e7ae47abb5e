import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { ServerUnaryCall, ServiceDefinition, UntypedServiceImplementation, sendUnaryData } from '@grpc/grpc-js';
import type { ExecutionContext } from 'ava';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { ImageServiceService, RuntimeServiceService } from '../../api/gen/cri.ts';
import type { Method } from '../../src/cli/client/server.ts';
import { CriError, StatusCode } from '../../src/core/model/errors.ts';
import { eventually } from '../lib/eventually.ts';
import type { ServerFixture } from './server-fixture.ts';

/**
 * A proxy between a client and a server: passes CRI calls on, and redirects the client to a port that records its bytes
 * to the streaming server.
 */
export class StreamingRecorder {
  readonly socket: string;
  /** The bytes of each client, from the start of its HTTP request. */
  readonly sessions: Buffer[] = [];

  private constructor(socket: string) {
    this.socket = socket;
  }

  static async start(t: ExecutionContext, server: ServerFixture): Promise<StreamingRecorder> {
    const recorder = new StreamingRecorder(join(server.directory, 'recorder.sock'));
    let target = 0;
    const wire = createServer((client) => {
      const pieces: Buffer[] = [];
      client.on('data', (piece: Buffer) => pieces.push(piece));
      client.on('close', () => recorder.sessions.push(Buffer.concat(pieces)));
      const upstream = connect({ host: '127.0.0.1', port: target });
      client.pipe(upstream).pipe(client);
      for (const [end, other] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        end.on('error', () => undefined);
        end.on('close', () => other.destroy());
      }
    });
    wire.listen(0, '127.0.0.1');
    await once(wire, 'listening');
    const { port } = wire.address() as AddressInfo;
    const grpc = new Server();
    for (const definition of [RuntimeServiceService, ImageServiceService] as unknown as ServiceDefinition[]) {
      const implementation: UntypedServiceImplementation = {};
      for (const [name, method] of Object.entries(definition)) {
        implementation[name] = (call: ServerUnaryCall<unknown, unknown>, done: sendUnaryData<unknown>) => {
          void server.client.call(method as unknown as Method<unknown, { url?: string }>, call.request).then(
            (answer) => {
              if (answer.url === undefined) return done(null, answer);
              const url = new URL(answer.url);
              target = Number(url.port);
              url.port = String(port);
              done(null, { ...answer, url: url.href });
            },
            (error: unknown) => {
              const { code, message } =
                error instanceof CriError ? error : new CriError(StatusCode.UNKNOWN, String(error));
              done({ code, details: message });
            },
          );
        };
      }
      grpc.addService(definition, implementation);
    }
    await new Promise<void>((resolve, reject) => {
      grpc.bindAsync(`unix:${recorder.socket}`, ServerCredentials.createInsecure(), (error) => {
        if (error === null) resolve();
        else reject(error);
      });
    });
    t.teardown(() => {
      grpc.forceShutdown();
      wire.close();
    });
    return recorder;
  }

  /** The one session of `act`; its request line and headers omit token and port. */
  async record(act: () => Promise<unknown>): Promise<Buffer> {
    const before = this.sessions.length;
    await act();
    await eventually('a session', () => this.sessions.length > before);
    const session = this.sessions[before];
    if (session === undefined || this.sessions.length !== before + 1) throw new Error('there was not one session');
    const head = session.indexOf('\r\n\r\n');
    const request = session
      .toString('latin1', 0, head)
      .replace(/^(\w+ \/\w+\/)[\w-]{8}/, '$1TOKENXXX')
      .replace(/^Host: .*$/m, 'Host: 127.0.0.1')
      .replace(/^User-Agent: .*\r\n/m, '');
    return Buffer.concat([Buffer.from(request, 'latin1'), session.subarray(head)]);
  }
}
