import type { Server, Socket } from 'node:net';
import type { Logger } from '../../core/model/logger.ts';
import type { PluginHost } from '../../core/model/plugins.ts';
import { listenForPlugins } from './listener.ts';
import type { NriPlugins } from './nri-plugins.ts';

export interface NriServerOptions {
  /** Socket for plugins; empty: none. */
  socket: string;
  host: PluginHost;
  logger: Logger;
}

/** Where plugins come from: the socket, and the directory of those that are started with the server. */
export class NriServer {
  readonly #plugins: NriPlugins;
  readonly #options: NriServerOptions;
  readonly #sockets = new Set<Socket>();
  #listener: Server | undefined;

  constructor(plugins: NriPlugins, options: NriServerOptions) {
    this.#plugins = plugins;
    this.#options = options;
  }

  /** @throws CriError FAILED_PRECONDITION when the socket is in use. */
  async start(): Promise<void> {
    const { socket, host, logger } = this.#options;
    if (socket === '') return;
    this.#listener = await listenForPlugins(socket, (plugin) => {
      this.#sockets.add(plugin);
      plugin.once('close', () => this.#sockets.delete(plugin));
      void this.#plugins.connect(plugin, host);
    });
    logger.info('Listening for NRI plugins', { socket });
  }

  /** Disconnects the plugins. */
  async stop(): Promise<void> {
    const closed = Promise.withResolvers<undefined>();
    if (this.#listener === undefined) closed.resolve(undefined);
    else this.#listener.close(() => closed.resolve(undefined));
    this.#plugins.end();
    for (const socket of this.#sockets) socket.destroy();
    await closed.promise;
  }
}
