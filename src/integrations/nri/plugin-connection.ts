import type { Duplex } from 'node:stream';
import { Event, PluginService, RuntimeService } from '../../../api/gen/nri.ts';
import type {
  ConfigureRequest,
  RegisterPluginRequest,
  UpdateContainersRequest,
  UpdateContainersResponse,
} from '../../../api/gen/nri.ts';
import { failedPrecondition, invalidArgument } from '../../core/model/errors.ts';
import type { Method } from './wire/methods.ts';
import { LostCallError } from './wire/methods.ts';
import { Mux, PLUGIN_CHANNEL, RUNTIME_CHANNEL } from './wire/mux.ts';
import { TtrpcClient } from './wire/ttrpc-client.ts';
import { TtrpcServer } from './wire/ttrpc-server.ts';

/** Numbers of events are bits from 0 on, less one; the last is the validation, which a plugin must ask for. */
const KNOWN_EVENTS = 2 ** Event.VALIDATE_CONTAINER_ADJUSTMENT - 1;
const USUAL_EVENTS = KNOWN_EVENTS >> 1;

/** Who a plugin is. */
export interface PluginName {
  /** Two digits; plugins are called in their order. */
  index: string;
  base: string;
}

/** A connection of a plugin: its handshake, and calls in both directions. */
export class PluginConnection {
  /** Resolves with the reason when the connection has ended. */
  readonly ended: Promise<string>;
  readonly #mux: Mux;
  readonly #client: TtrpcClient;
  readonly #registered = Promise.withResolvers<PluginName>();
  #isOpen = true;
  #name: PluginName | undefined;
  #events = 0;

  /**
   * @param known the name of a plugin that the runtime has started; another one says its own.
   * @param update does what the plugin wants to change at any time.
   */
  constructor(
    trunk: Duplex,
    known: PluginName | undefined,
    update: (request: UpdateContainersRequest) => Promise<UpdateContainersResponse>,
  ) {
    const end = Promise.withResolvers<string>();
    this.ended = end.promise;
    this.#registered.promise.catch(() => undefined);
    this.#mux = new Mux(trunk, (reason) => {
      this.#isOpen = false;
      this.#client.end(reason);
      this.#registered.reject(new LostCallError(reason));
      end.resolve(reason);
    });
    this.#client = new TtrpcClient((bytes) => {
      this.#mux.send(PLUGIN_CHANNEL, bytes);
    });
    const server = new TtrpcServer((bytes) => {
      this.#mux.send(RUNTIME_CHANNEL, bytes);
    });
    server.on(RuntimeService.registerPlugin, (request) => {
      if (this.#name !== undefined) throw failedPrecondition('this plugin is registered already');
      this.#name = known ?? nameOf(request);
      this.#registered.resolve(this.#name);
      return Promise.resolve({});
    });
    server.on(RuntimeService.updateContainers, (request) => update(request));
    this.#mux.open(PLUGIN_CHANNEL, (bytes) => {
      this.#client.receive(bytes);
    });
    this.#mux.open(RUNTIME_CHANNEL, (bytes) => {
      server.receive(bytes);
    });
  }

  /** `index-base`; before the registration a word for it. */
  get name(): string {
    return this.#name === undefined ? 'unregistered' : fullName(this.#name);
  }

  get instance(): PluginName {
    return this.#name ?? { index: '', base: '' };
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Whether the plugin wants an event, by its number. */
  wants(event: number): boolean {
    return (this.#events & (1 << (event - 1))) !== 0;
  }

  /** Waits for the registration. @throws LostCallError after `timeoutMs`, or when the connection ends. */
  async registered(timeoutMs: number): Promise<PluginName> {
    const timer = setTimeout(() => {
      this.#registered.reject(new LostCallError(`no registration within ${String(timeoutMs / 1000)} s`));
    }, timeoutMs);
    try {
      return await this.#registered.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Hands the plugin its configuration and learns what it wants. @throws RemoteError, LostCallError, CriError for unknown events. */
  async configure(request: ConfigureRequest, timeoutMs: number): Promise<void> {
    const { events } = await this.call(PluginService.configure, request, timeoutMs);
    if ((events & ~KNOWN_EVENTS) !== 0)
      throw invalidArgument('ConfigureResponse.events', `0x${(events >>> 0).toString(16)} has unknown events`);
    this.#events = events === 0 ? USUAL_EVENTS : events;
  }

  /** Calls the plugin. @throws RemoteError, LostCallError. */
  call<Q, R>(method: Method<Q, R>, request: Q, timeoutMs: number): Promise<R> {
    return this.#client.call(method, request, timeoutMs);
  }

  /** Disconnects the plugin. */
  end(reason: string): void {
    this.#mux.end(reason);
  }
}

/** `index-base`. */
export function fullName({ index, base }: PluginName): string {
  return `${index}-${base}`;
}

/** The two parts of a full name; undefined for other text. */
export function parseName(text: string): PluginName | undefined {
  const [, index = '', base = ''] = /^(\d\d)-([A-Za-z0-9_.+-]+)$/.exec(text) ?? [];
  return base === '' ? undefined : { index, base };
}

function nameOf({ pluginIdx, pluginName }: RegisterPluginRequest): PluginName {
  const name = parseName(`${pluginIdx}-${pluginName}`);
  if (name?.index === pluginIdx && pluginName.length <= 256) return name;
  const wanted = 'an index of two digits and a name of A-Z a-z 0-9 _ . + and - are required';
  throw invalidArgument('plugin', `${JSON.stringify(`${pluginIdx}-${pluginName}`.slice(0, 300))}: ${wanted}`);
}
