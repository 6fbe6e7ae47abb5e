import { performance } from 'node:perf_hooks';
import type * as z from 'zod';
import { failedPrecondition } from '../../core/model/errors.ts';
import { formatPlace } from '../../utils/errors.ts';
import type { Credentials, Login } from './auth/credentials.ts';
import { Scrubber, sensitiveValues } from './auth/scrubber.ts';
import { bodyOf, type Call, type CallOptions, pathOf } from './call.ts';
import { errorFrom, errorWithout } from './errors/from-answer.ts';
import { AmbiguousOutcomeError, endpointOf, ProxmoxError } from './errors/proxmox-error.ts';
import { rereadOf } from './errors/reread.ts';
import { number } from './lenient.ts';
import type { Observer } from './observe.ts';
import { type Hosts, HostsError } from './transport/hosts.ts';
import { Slots } from '../../utils/async/slots.ts';

/** Longer than the 30 s after which the server itself gives up on another node. */
const TIMEOUT_MS = 40_000;

export interface ApiOptions {
  hosts: Hosts;
  credentials: Credentials;
  /** Those of root@pam, for calls with `asRoot`. */
  root?: Credentials | undefined;
  /** Calls at the same time, of those that read and of those that change. */
  reads: number;
  writes: number;
  timeoutMs?: number | undefined;
  observer?: Observer | undefined;
}

/** What a call returns: `data`, and `total` where the answer is a part of a longer list. */
export interface Data<T> {
  data: T;
  total: number | undefined;
}

/** Calls of the API: credentials, a bounded number at once, time limits, and errors as {@link ProxmoxError}. */
export class Api {
  readonly observer: Observer;
  readonly #options: ApiOptions;
  readonly #reads: Slots;
  readonly #writes: Slots;

  constructor(options: ApiOptions) {
    this.#options = options;
    this.observer = options.observer ?? {};
    this.#reads = new Slots(options.reads);
    this.#writes = new Slots(options.writes);
  }

  /**
   * The `data` of the answer, checked by `schema`.
   * @throws ProxmoxError for a refusal, an answer of another shape, or when no host answers; AmbiguousOutcomeError when
   *   the change may have been made; the signal's reason when it was raised before anything was sent.
   */
  async call<T>(call: Call, schema: z.ZodType<T>, options: CallOptions = {}): Promise<T> {
    return (await this.list(call, schema, options)).data;
  }

  /** As {@link call}, with the length of the whole list. */
  async list<T>(call: Call, schema: z.ZodType<T>, options: CallOptions = {}): Promise<Data<T>> {
    const begun = performance.now();
    const ended = (outcome: 'ok' | ProxmoxError['kind']) => {
      this.observer.call?.({ endpoint: endpointOf(call), outcome, seconds: (performance.now() - begun) / 1000 });
    };
    try {
      const credentials = this.#credentials(options);
      const result = checked(call, await this.#authenticated(call, credentials, options), schema);
      ended('ok');
      return result;
    } catch (error) {
      ended(error instanceof ProxmoxError ? error.kind : options.signal?.aborted ? 'aborted' : 'failed');
      throw error;
    }
  }

  /** A text of the server without the credentials of this client. */
  clean(text: string): string {
    const { credentials, root } = this.#options;
    return new Scrubber([...credentials.secrets(), ...(root?.secrets() ?? [])]).clean(text);
  }

  /** Ends all connections; calls in flight fail. */
  close(): Promise<void> {
    return this.#options.hosts.close();
  }

  #credentials({ asRoot = false }: CallOptions): Credentials {
    if (!asRoot) return this.#options.credentials;
    if (this.#options.root) return this.#options.root;
    throw failedPrecondition('Proxmox API: this call needs root@pam, and no credentials of root@pam are configured');
  }

  async #authenticated(call: Call, credentials: Credentials, options: CallOptions): Promise<unknown> {
    const login: Login = (request, proof) =>
      this.#exchange(request, {}, [...proof, ...credentials.secrets()], { ...options, signal: undefined });
    for (let isFirst = true; ; isFirst = false) {
      const headers = await credentials.headers(call.method, login, options.signal);
      try {
        return await this.#exchange(call, headers, credentials.secrets(), options);
      } catch (error) {
        // The server refuses before it does anything: a second try is safe for every call.
        const isRefused = error instanceof ProxmoxError && error.details.status === 401 && isFirst;
        if (!isRefused || !(await credentials.refused(headers))) throw error;
      }
    }
  }

  /** Sends the call and returns the JSON of its answer. */
  async #exchange(
    call: Call,
    headers: Readonly<Record<string, string>>,
    secrets: ConstructorParameters<typeof Scrubber>[0],
    options: CallOptions,
  ): Promise<unknown> {
    const { signal, caller = '' } = options;
    const scrubber = new Scrubber([...secrets, ...sensitiveValues(call.params ?? {})]);
    const body = bodyOf(call);
    const request = {
      path: pathOf(call),
      method: call.method,
      headers: {
        ...headers,
        accept: 'application/json',
        'user-agent': 'proxmox-lxcri',
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      body,
      timeoutMs: options.timeoutMs ?? this.#options.timeoutMs ?? TIMEOUT_MS,
      signal,
    };
    const slots = call.method === 'GET' ? this.#reads : this.#writes;
    try {
      const answer = await slots.run(caller, signal, () => this.#options.hosts.send(request));
      if (answer.status !== 200) throw errorFrom(call, answer, scrubber);
      return parsed(call, answer.body);
    } catch (error) {
      if (!(error instanceof HostsError)) throw error;
      if (!error.failure.wasSent || call.method === 'GET') signal?.throwIfAborted();
      throw errorWithout(call, error.failure, scrubber.clean(error.hosts), signal);
    }
  }
}

function parsed(call: Call, body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    // The parser's message quotes the answer, which may hold a ticket.
    throw badAnswer(call, 'the answer is not JSON');
  }
}

function checked<T>(call: Call, json: unknown, schema: z.ZodType<T>): Data<T> {
  const { data, total } = (typeof json === 'object' && json !== null ? json : {}) as {
    data?: unknown;
    total?: unknown;
  };
  const result = schema.safeParse(data);
  if (result.success) return { data: result.data, total: number.safeParse(total).data };
  const wrong = result.error.issues
    .slice(0, 3)
    .map(({ path, message }) => `${formatPlace(['data', ...path])}: ${message}`);
  throw badAnswer(call, `unexpected answer: ${wrong.join('; ')}`);
}

/** The server said 200: a change was made, and what it returned about it is lost. */
function badAnswer(call: Call, message: string): ProxmoxError {
  const details = { call, kind: 'badAnswer', status: 200 } as const;
  return call.method === 'GET'
    ? new ProxmoxError(message, details)
    : new AmbiguousOutcomeError(message, details, rereadOf(call));
}
