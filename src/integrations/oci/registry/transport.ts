import { Agent, type Dispatcher, EnvHttpProxyAgent, request } from 'undici';
import { type CriError, invalidArgument } from '../../../core/model/errors.ts';
import { corrupt } from '../digest.ts';
import { unreachable } from './failure.ts';

const MAX_REDIRECTS = 5;
const CONNECT_MS = 15_000;

export interface HttpRequest {
  method?: 'GET' | 'POST';
  headers?: Record<string, string>;
  body?: string;
  signal?: AbortSignal | undefined;
}

export type HttpResponse = Pick<Dispatcher.ResponseData, 'statusCode' | 'headers' | 'body'>;

/** HTTP as registries need it: redirects that give no credentials away, and an end to transfers that stall. */
export class Transport {
  readonly #dispatcher: Dispatcher;
  readonly #stallMs: number;

  /** @param stallMs a transfer without a byte for so long fails; 0: never. */
  constructor(stallMs: number) {
    this.#stallMs = stallMs;
    const connect = { timeout: CONNECT_MS };
    const isProxied = ['http_proxy', 'https_proxy'].some(
      (name) => process.env[name] ?? process.env[name.toUpperCase()],
    );
    // What is on this machine is never behind a proxy.
    const noProxy = [process.env['no_proxy'] ?? process.env['NO_PROXY'], 'localhost', '127.0.0.1', '[::1]'];
    this.#dispatcher = isProxied
      ? new EnvHttpProxyAgent({ connect, noProxy: noProxy.filter(Boolean).join(',') })
      : new Agent({ connect });
  }

  /**
   * The answer to a request, whatever its status; the caller reads or dumps its body.
   * @throws CriError UNKNOWN "RegistryUnavailable: …" when there is none; the signal's reason.
   */
  async send(url: URL, options: HttpRequest): Promise<HttpResponse> {
    const { method = 'GET', body, signal } = options;
    let target = url;
    const headers: Record<string, string> = { 'user-agent': 'proxmox-lxcri', ...options.headers };
    for (let redirects = 0; ; redirects++) {
      signal?.throwIfAborted();
      const response = await this.#once(target, { method, headers, body: body ?? null, signal: signal ?? null });
      const { location } = response.headers;
      if (![301, 302, 303, 307, 308].includes(response.statusCode) || typeof location !== 'string') return response;
      await response.body.dump();
      if (redirects >= MAX_REDIRECTS) throw unreachable(url.host, new Error('too many redirects'));
      const next = redirected(target, location);
      if (next.origin !== target.origin) delete headers['authorization'];
      target = next;
    }
  }

  async close(): Promise<void> {
    await this.#dispatcher.destroy();
  }

  async #once(
    url: URL,
    options: Pick<Dispatcher.RequestOptions, 'method' | 'headers' | 'body' | 'signal'>,
  ): Promise<HttpResponse> {
    try {
      return await request(url, {
        ...options,
        dispatcher: this.#dispatcher,
        headersTimeout: this.#stallMs,
        bodyTimeout: this.#stallMs,
      });
    } catch (error) {
      if (options.signal instanceof AbortSignal) options.signal.throwIfAborted();
      throw unreachable(url.host, error);
    }
  }
}

/** Reads a body of at most `limit` bytes. @throws CriError DATA_LOSS for a longer one. */
export async function readBody(response: HttpResponse, limit: number, what: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response.body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > limit) throw corrupt(what, `is larger than ${limit} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

/** Where a redirect leads. @throws CriError when it leads from TLS to plain HTTP or to no HTTP at all. */
function redirected(from: URL, location: string): URL {
  let to: URL;
  try {
    to = new URL(location, from);
  } catch {
    throw refusedRedirect(from, 'to a malformed address');
  }
  if (to.protocol !== 'https:' && to.protocol !== 'http:') throw refusedRedirect(from, `to ${to.protocol}`);
  if (from.protocol === 'https:' && to.protocol === 'http:') throw refusedRedirect(from, 'from TLS to plain HTTP');
  to.username = to.password = '';
  return to;
}

function refusedRedirect(from: URL, problem: string): CriError {
  return invalidArgument(`registry ${from.host}`, `redirects ${problem}, which is refused`);
}
