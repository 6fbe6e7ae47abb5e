import { Event, PluginService } from '../../../api/gen/nri.ts';
import type { Container, PodSandbox } from '../../../api/gen/nri.ts';
import { unknown } from '../../core/model/errors.ts';
import type { Logger } from '../../core/model/logger.ts';
import { messageOf } from '../../utils/errors.ts';
import type { PluginConnection } from './plugin-connection.ts';
import type { Method } from './wire/methods.ts';
import { LostCallError, RemoteError } from './wire/methods.ts';

/** What an event is about. */
export interface About {
  pod?: PodSandbox | undefined;
  container?: Container | undefined;
}

/**
 * The connected plugins in their order, and the one place from which they are called: events are sent one after the other, in the
 * order in which they are given, each to all plugins that want it.
 */
export class PluginList {
  readonly #timeoutMs: number;
  readonly #logger: Logger;
  readonly #onLost: () => void;
  #plugins: readonly PluginConnection[] = [];
  #last: Promise<unknown> = Promise.resolve();

  /** @param onLost called for each plugin that disconnects. */
  constructor(timeoutMs: number, logger: Logger, onLost: () => void = () => undefined) {
    this.#timeoutMs = timeoutMs;
    this.#logger = logger;
    this.#onLost = onLost;
  }

  get isEmpty(): boolean {
    return this.#plugins.length === 0;
  }

  /** In the order in which they are called. */
  get plugins(): readonly PluginConnection[] {
    return this.#plugins;
  }

  /** Adds a plugin until it ends. */
  add(plugin: PluginConnection): void {
    if (!plugin.isOpen) return;
    this.#plugins = [...this.#plugins, plugin].sort((a, b) => a.name.localeCompare(b.name, 'en'));
    void plugin.ended.then((reason) => {
      this.#plugins = this.#plugins.filter((one) => one !== plugin);
      this.#onLost();
      this.#logger.warn('NRI plugin disconnected', { plugin: plugin.name, reason });
    });
  }

  /** Runs `task` when all earlier ones have settled. */
  run<T>(task: () => Promise<T>): Promise<T> {
    const current = this.#last.then(task, task);
    this.#last = current.catch(() => undefined);
    return current;
  }

  /**
   * Tells every plugin that wants it of an event.
   * @throws CriError UNKNOWN with the message of the first plugin that refuses it.
   */
  tell<Q extends About, R>(event: Event, method: Method<Q, R>, request: () => Promise<Q>): Promise<void> {
    if (this.isEmpty) return Promise.resolve();
    return this.run(async () => {
      const wanting = this.#plugins.filter((plugin) => plugin.wants(event));
      if (wanting.length === 0) return;
      const message = await request();
      for (const plugin of wanting) await this.ask(plugin, event, method, message);
    });
  }

  /** {@link tell} where a refusal changes nothing any more: it is logged. */
  async report<Q extends About, R>(event: Event, method: Method<Q, R>, request: () => Promise<Q>): Promise<void> {
    try {
      await this.tell(event, method, request);
    } catch (error) {
      this.#logger.warn('Event not delivered to all NRI plugins', { event: nameOf(event), error: messageOf(error) });
    }
  }

  /**
   * Calls one plugin about an event. One that does not answer is disconnected.
   * @returns undefined when it does not want the event, does not answer, or is older than the event.
   * @throws CriError UNKNOWN with its message when it refuses.
   */
  async ask<Q extends About, R>(
    plugin: PluginConnection,
    event: Event,
    method: Method<Q, R>,
    request: Q,
  ): Promise<R | undefined> {
    if (!plugin.isOpen || !plugin.wants(event)) return undefined;
    try {
      return await this.#callEither(plugin, event, method, request);
    } catch (error) {
      const name = nameOf(event);
      if (error instanceof LostCallError) {
        this.#logger.error('NRI plugin does not answer', { plugin: plugin.name, event: name, error: error.message });
        plugin.end(error.message);
        return undefined;
      }
      throw unknown(`NRI plugin ${plugin.name} refuses ${name}: ${messageOf(error)}`, error);
    }
  }

  /** Older plugins have one call for the events that ask for nothing. */
  async #callEither<Q extends About, R>(
    plugin: PluginConnection,
    event: Event,
    method: Method<Q, R>,
    request: Q,
  ): Promise<R | undefined> {
    try {
      return await plugin.call(method, request, this.#timeoutMs);
    } catch (error) {
      if (!(error instanceof RemoteError && error.isUnimplemented)) throw error;
    }
    const { pod, container } = request;
    try {
      await plugin.call(PluginService.stateChange, { event, pod, container }, this.#timeoutMs);
    } catch (error) {
      if (!(error instanceof RemoteError && error.isUnimplemented)) throw error;
    }
    return undefined;
  }
}

function nameOf(event: Event): string {
  return Object.entries(Event).find(([, number]) => number === event)?.[0] ?? String(event);
}
