import type { Server, Socket } from 'node:net';
import type { Logger } from '../../core/model/logger.ts';
import type { PluginHost } from '../../core/model/plugins.ts';
import { messageOf } from '../../utils/errors.ts';
import { installedPlugins, startPlugin } from './installed.ts';
import type { InstalledPlugin } from './installed.ts';
import { listenForPlugins } from './listener.ts';
import type { NriPlugins } from './nri-plugins.ts';
import { fullName } from './plugin-connection.ts';

export interface NriServerOptions {
  /** Socket for plugins; empty: none. */
  socket: string;
  /** Directories of plugins that are started, of their configurations, and of the sockets that connect them. */
  plugin_dir: string;
  plugin_config_dir: string;
  sockets: string;
  host: PluginHost;
  logger: Logger;
}

/** Where plugins come from: the directory of those that are started with the server, and the socket. */
export class NriServer {
  readonly #plugins: NriPlugins;
  readonly #options: NriServerOptions;
  readonly #connections = new Set<Socket>();
  readonly #running = new Set<() => void>();
  #listener: Server | undefined;

  constructor(plugins: NriPlugins, options: NriServerOptions) {
    this.#plugins = plugins;
    this.#options = options;
  }

  /**
   * Starts the installed plugins, of which those that fail are logged, and listens for others.
   * @throws CriError FAILED_PRECONDITION when the socket is in use.
   */
  async start(): Promise<void> {
    const { socket, plugin_dir, plugin_config_dir, host, logger } = this.#options;
    const installed = await installedPlugins(plugin_dir, plugin_config_dir, (path, problem) => {
      logger.error('NRI plugin cannot be started', { path, problem });
    });
    await Promise.all(installed.map((plugin) => this.#startInstalled(plugin)));
    if (socket === '') return;
    try {
      this.#listener = await listenForPlugins(socket, (connection) => {
        this.#keep(connection);
        void this.#plugins.connect(connection, host);
      });
    } catch (error) {
      await this.stop();
      throw error;
    }
    logger.info('Listening for NRI plugins', { socket });
  }

  /** Disconnects the plugins, and kills those that this server has started. */
  async stop(): Promise<void> {
    const closed = Promise.withResolvers<undefined>();
    if (this.#listener === undefined) closed.resolve(undefined);
    else this.#listener.close(() => closed.resolve(undefined));
    this.#plugins.end();
    for (const connection of this.#connections) connection.destroy();
    for (const kill of this.#running) kill();
    await closed.promise;
  }

  /** Starts a plugin and waits until it is called about events, or has failed. */
  async #startInstalled(plugin: InstalledPlugin): Promise<void> {
    const { host, logger, sockets } = this.#options;
    const name = fullName(plugin);
    try {
      const { connection, ended, kill } = await startPlugin(plugin, sockets, (line) => {
        logger.info('NRI plugin output', { plugin: name, line });
      });
      this.#running.add(kill);
      this.#keep(connection);
      // One that is not called any more must not stay.
      connection.once('close', kill);
      void ended.then((how) => {
        this.#running.delete(kill);
        connection.destroy();
        logger.warn('NRI plugin ended', { plugin: name, how });
      });
      await this.#plugins.connect(connection, host, plugin);
    } catch (error) {
      logger.error('NRI plugin cannot be started', { path: plugin.path, problem: messageOf(error) });
    }
  }

  #keep(connection: Socket): void {
    this.#connections.add(connection);
    connection.once('close', () => this.#connections.delete(connection));
  }
}
