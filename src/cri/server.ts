import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import type { Server as NetServer, Socket } from 'node:net';
import type { Logger } from '../core/model/logger.ts';
import { listen } from './listener.ts';

/** Maximum time for requests in flight at shutdown. */
const SHUTDOWN_MS = 10_000;

export interface CriServerOptions {
  /** Path of the unix socket. */
  path: string;
  group: number;
  maxMessageBytes: number;
  services: { definition: ServiceDefinition; implementation: UntypedServiceImplementation }[];
  logger: Logger;
}

/** The gRPC server on its own listener, for the socket's mode and socket activation. */
export class CriServer {
  readonly #options: CriServerOptions;
  readonly #grpc: Server;
  readonly #sockets = new Set<Socket>();
  #listener: NetServer | undefined;

  constructor(options: CriServerOptions) {
    this.#options = options;
    this.#grpc = new Server({
      'grpc.max_receive_message_length': options.maxMessageBytes,
      'grpc.max_send_message_length': options.maxMessageBytes,
      // channelz would keep every connection for inspection.
      'grpc.enable_channelz': 0,
    });
    for (const { definition, implementation } of options.services) this.#grpc.addService(definition, implementation);
  }

  /** Starts to listen. @throws CriError FAILED_PRECONDITION when another server uses the socket. */
  async start(): Promise<void> {
    const injector = this.#grpc.createConnectionInjector(ServerCredentials.createInsecure());
    this.#listener = await listen({
      path: this.#options.path,
      group: this.#options.group,
      onConnection: (socket) => {
        this.#sockets.add(socket);
        socket.once('close', () => this.#sockets.delete(socket));
        injector.injectConnection(socket);
      },
    });
  }

  /** Refuses new connections, waits for requests in flight, then cancels the others. Containers keep running. */
  async stop(): Promise<void> {
    this.#listener?.close();
    const force = setTimeout(() => {
      this.#options.logger.warn('Requests in flight cancelled at shutdown', { durationMs: SHUTDOWN_MS });
      this.#grpc.forceShutdown();
      for (const socket of this.#sockets) socket.destroy();
    }, SHUTDOWN_MS);
    await new Promise<void>((resolve) => {
      this.#grpc.tryShutdown(() => {
        resolve();
      });
    });
    clearTimeout(force);
  }
}
