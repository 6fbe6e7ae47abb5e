import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import type { Server as NetServer, Socket } from 'node:net';
import type { Logger } from '../core/model/logger.ts';
import { listen } from './listener.ts';

/** How long calls in flight may take to finish at shutdown. */
const SHUTDOWN_MS = 10_000;

export interface CriServerOptions {
  /** Path of the unix socket. */
  path: string;
  group: number;
  maxMessageBytes: number;
  services: { definition: ServiceDefinition; implementation: UntypedServiceImplementation }[];
  logger: Logger;
}

/** The gRPC server on a listener of our own, which gives us the socket's mode and socket activation. */
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
      // channelz keeps every connection for inspection that nobody does here.
      'grpc.enable_channelz': 0,
    });
    for (const { definition, implementation } of options.services) this.#grpc.addService(definition, implementation);
  }

  /** Begins to listen. @throws CriError FAILED_PRECONDITION when another server has the socket. */
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

  /** Takes no more connections, lets calls in flight finish, then ends what is left. Containers are not touched. */
  async stop(): Promise<void> {
    this.#listener?.close();
    const force = setTimeout(() => {
      this.#options.logger.warn('Calls in flight did not finish in time', { durationMs: SHUTDOWN_MS });
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
