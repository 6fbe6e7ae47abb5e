import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { PluginService, RuntimeService } from '../../api/gen/nri.ts';
import type { UpdateContainersRequest, UpdateContainersResponse } from '../../api/gen/nri.ts';
import type { Method } from '../../src/integrations/nri/wire/methods.ts';
import { Mux, PLUGIN_CHANNEL, RUNTIME_CHANNEL } from '../../src/integrations/nri/wire/mux.ts';
import { TtrpcClient } from '../../src/integrations/nri/wire/ttrpc-client.ts';
import { TtrpcServer } from '../../src/integrations/nri/wire/ttrpc-server.ts';
import { HANG_MS } from './eventually.ts';

type Calls = typeof PluginService;
export type CallName = keyof Calls;
type RequestOf<K extends CallName> =
  Calls[K] extends Method<infer Q, never> ? Q : ReturnType<Calls[K]['requestDeserialize']>;
type ResponseOf<K extends CallName> = ReturnType<Calls[K]['responseDeserialize']>;
/** What a plugin answers; calls without an answer here get an empty one. */
export type Answers = {
  [K in CallName]?: (request: RequestOf<K>) => Partial<ResponseOf<K>> | Promise<Partial<ResponseOf<K>>>;
};

/** A plugin of NRI that records its calls, for tests. */
export class TestPlugin {
  /** Names of the calls, with the object's id for those that have one: `StartContainer abc`. */
  readonly calls: string[] = [];
  readonly ended: Promise<string>;
  readonly synchronized: Promise<void>;
  answers: Answers;
  readonly #mux: Mux;
  readonly #runtime: TtrpcClient;

  constructor(trunk: Duplex, answers: Answers = {}) {
    this.answers = answers;
    const end = Promise.withResolvers<string>();
    const synchronized = Promise.withResolvers<undefined>();
    this.ended = end.promise;
    this.synchronized = synchronized.promise;
    this.#mux = new Mux(trunk, (reason) => {
      this.#runtime.end(reason);
      end.resolve(reason);
    });
    this.#runtime = new TtrpcClient((bytes) => this.#mux.send(RUNTIME_CHANNEL, bytes));
    const server = new TtrpcServer((bytes) => this.#mux.send(PLUGIN_CHANNEL, bytes));
    for (const [name, method] of Object.entries(PluginService) as [CallName, Method<object, object>][]) {
      server.on(method, async (request) => {
        const { pod, container } = request as { pod?: { id: string }; container?: { id: string } };
        const id = container?.id ?? pod?.id;
        this.calls.push(`${name[0]!.toUpperCase()}${name.slice(1)}${id === undefined ? '' : ` ${id}`}`);
        const answer = this.answers[name] as ((request: object) => object | Promise<object>) | undefined;
        const fallback = name === 'synchronize' ? { more: (request as { more: boolean }).more } : {};
        const response = { ...emptyOf(method), ...fallback, ...(await answer?.(request)) };
        if (name === 'synchronize' && !(request as { more: boolean }).more)
          setImmediate(synchronized.resolve, undefined);
        return response;
      });
    }
    this.#mux.open(RUNTIME_CHANNEL, (bytes) => this.#runtime.receive(bytes));
    this.#mux.open(PLUGIN_CHANNEL, (bytes) => server.receive(bytes));
  }

  /** Connects to a socket, registers, and waits until it is synchronized. @param name such as "10-test". */
  static async connect(socket: string, name: string, answers: Answers = {}): Promise<TestPlugin> {
    const plugin = new TestPlugin(connect({ path: socket }), answers);
    await plugin.register(name);
    await plugin.synchronized;
    return plugin;
  }

  async register(name: string): Promise<void> {
    const request = { pluginIdx: name.slice(0, 2), pluginName: name.slice(3), NRIVersion: '' };
    await this.#runtime.call(RuntimeService.registerPlugin, request, HANG_MS);
  }

  update(request: Partial<UpdateContainersRequest>): Promise<UpdateContainersResponse> {
    return this.#runtime.call(RuntimeService.updateContainers, { update: [], evict: [], ...request }, HANG_MS);
  }

  end(): void {
    this.#mux.end('ended by the test');
  }
}

function emptyOf(method: Method<object, object>): object {
  return method.responseDeserialize(Buffer.alloc(0));
}
