import type { Dispatcher } from 'undici';
import { type CriError, invalidArgument } from '../../../core/model/errors.ts';
import { corrupt } from '../digest.ts';
import { unreachable } from './failure.ts';
import { bypassesProxy } from './no-proxy.ts';
import { settingsFor, tlsOptions, type TlsSettings } from './tls.ts';

/** Loaded for the first request: it takes a twelfth of a server's start. */
const undici = () => import('./undici.ts');
type Undici = Awaited<ReturnType<typeof undici>>;

const MAX_REDIRECTS = 5;
const CONNECT_MS = 15_000;
/** Bytes of a redirect's body that are read, so that its connection can be used again. */
const MAX_REDIRECT_BODY = 65_536;
/** Maximum number of connection pools, by TLS settings; the oldest is removed. */
const MAX_DISPATCHERS = 32;
/** Headers that may be sent to a redirect's host. */
const HARMLESS = ['user-agent', 'accept', 'range', 'content-type'];

export interface HttpRequest {
  method?: 'GET' | 'POST';
  headers?: Record<string, string>;
  body?: string;
  /** For the host of the address; a redirect's host gets only the part of {@link settingsFor}. */
  tls?: TlsSettings | undefined;
  signal?: AbortSignal | undefined;
}

export interface HttpResponse extends Pick<Dispatcher.ResponseData, 'statusCode' | 'headers' | 'body'> {
  /** The body, which fails when it stalls or is slower than the minimum rate. */
  chunks: AsyncIterable<Buffer>;
}

/** When a transfer counts as stalled. */
export interface Pace {
  /** Milliseconds without a byte; 0: never, whatever its rate. */
  stallMs: number;
  /** Bytes per second that it must have on average within `stallMs`; 0: one byte is enough. */
  minRate: number;
}

/** HTTP for registries: redirects without leaking credentials, and a timeout for stalled transfers. */
export class Transport {
  readonly #dispatchers = new Map<string, Dispatcher>();
  readonly #pace: Pace;

  constructor(pace: Pace) {
    this.#pace = pace;
  }

  /**
   * The answer to a request, whatever its status; the caller reads or dumps its body.
   * @throws CriError UNKNOWN "RegistryUnavailable: …" when there is none; the signal's reason.
   */
  async send(url: URL, options: HttpRequest): Promise<HttpResponse> {
    const { tls, signal } = options;
    let { method = 'GET', body } = options;
    let target = url;
    let headers: Record<string, string> = { 'user-agent': 'proxmox-lxcri', ...options.headers };
    const client = await undici();
    for (let redirects = 0; ; redirects++) {
      signal?.throwIfAborted();
      const dispatcher = this.#dispatcher(client, settingsFor(tls, target.host), target);
      const sent = { method, headers, body: body ?? null, signal: signal ?? null };
      const response = await this.#once(client, target, dispatcher, sent);
      const { location } = response.headers;
      if (![301, 302, 303, 307, 308].includes(response.statusCode) || typeof location !== 'string') return response;
      // What cannot be read only costs the connection.
      await readBody(response, MAX_REDIRECT_BODY, 'redirect').catch(() => undefined);
      signal?.throwIfAborted();
      if (redirects >= MAX_REDIRECTS) throw unreachable(url.host, new Error('too many redirects'));
      const next = redirected(target, location);
      // A form is sent again only where the status requires it (RFC 9110, 15.4), and only to the same host.
      if (body !== undefined && ![307, 308].includes(response.statusCode)) {
        method = 'GET';
        body = undefined;
        headers = Object.fromEntries(Object.entries(headers).filter(([name]) => name !== 'content-type'));
      }
      if (next.origin !== target.origin) {
        if (body !== undefined) throw refusedRedirect(target, `the request body to ${next.host}`);
        headers = Object.fromEntries(Object.entries(headers).filter(([name]) => HARMLESS.includes(name)));
      }
      target = next;
    }
  }

  async close(): Promise<void> {
    const all = [...this.#dispatchers.values()];
    this.#dispatchers.clear();
    await Promise.all(all.map((each) => each.destroy()));
  }

  /** Connections by TLS settings: one without verification must not serve other settings. */
  #dispatcher(client: Undici, tls: TlsSettings | undefined, url: URL): Dispatcher {
    const isProxied = hasProxy() && !bypassesProxy(url, environment('no_proxy'));
    // The machine's authorities, which are slow to read, are read for the first connection that needs them.
    const isPlain = url.protocol === 'http:' && !isProxied;
    const key = JSON.stringify([isProxied, isPlain, tls]);
    const known = this.#dispatchers.get(key);
    if (known) return known;
    const made = isPlain
      ? new client.Agent({ connect: { timeout: CONNECT_MS } })
      : newDispatcher(client, tls, isProxied);
    this.#dispatchers.set(key, made);
    const [oldest] = this.#dispatchers;
    if (oldest && this.#dispatchers.size > MAX_DISPATCHERS) {
      this.#dispatchers.delete(oldest[0]);
      // Closes after its last transfer.
      oldest[1].close().catch(() => undefined);
    }
    return made;
  }

  async #once(
    { request }: Undici,
    url: URL,
    dispatcher: Dispatcher,
    options: Pick<Dispatcher.RequestOptions, 'method' | 'headers' | 'body' | 'signal'>,
  ): Promise<HttpResponse> {
    const { stallMs } = this.#pace;
    const late = new AbortController();
    // The client's own timeout begins again with each informational response (1xx).
    const timer = stallMs > 0 ? setTimeout(() => late.abort(noAnswer(stallMs)), stallMs) : undefined;
    const given = options.signal instanceof AbortSignal ? [options.signal] : [];
    try {
      const response = await request(url, {
        ...options,
        signal: AbortSignal.any([...given, late.signal]),
        dispatcher,
        headersTimeout: 0,
        bodyTimeout: stallMs,
      });
      return Object.assign(response, { chunks: paced(response.body as AsyncIterable<Buffer>, this.#pace) });
    } catch (error) {
      for (const signal of given) signal.throwIfAborted();
      throw unreachable(url.host, error);
    } finally {
      clearTimeout(timer);
    }
  }
}

function noAnswer(stallMs: number): Error {
  return new Error(`Timeout: no response within ${stallMs / 1000} seconds (images.stall_seconds)`);
}

function newDispatcher(
  { Agent, EnvHttpProxyAgent }: Undici,
  tls: TlsSettings | undefined,
  isProxied: boolean,
): Dispatcher {
  const connect = { timeout: CONNECT_MS, ...tlsOptions(tls) };
  // The proxy has been selected already: undici's own parser of no_proxy does not support networks.
  return isProxied ? new EnvHttpProxyAgent({ connect, requestTls: connect, noProxy: '' }) : new Agent({ connect });
}

function hasProxy(): boolean {
  return ['http_proxy', 'https_proxy'].some((name) => environment(name) !== undefined);
}

/** A variable by its name in lower or upper case. */
function environment(name: string): string | undefined {
  return process.env[name] || process.env[name.toUpperCase()] || undefined;
}

/** @throws Error when a body is slower than the minimum rate: a dripping one would never end. */
async function* paced(body: AsyncIterable<Buffer>, { stallMs, minRate }: Pace): AsyncGenerator<Buffer> {
  let since = performance.now();
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    const now = performance.now();
    const seconds = (now - since) / 1000;
    if (stallMs > 0 && now - since > stallMs) {
      if (bytes < minRate * seconds) throw tooSlow(bytes, seconds, minRate);
      since = now;
      bytes = 0;
    }
    yield chunk;
    // The reader's delay is not the sender's.
    since += performance.now() - now;
  }
}

function tooSlow(bytes: number, seconds: number, minRate: number): Error {
  const bound = `less than images.min_bytes_per_second (${minRate})`;
  const remedy = 'use a mirror (images.mirrors), or lower the minimum for a slow network';
  return new Error(`stalled: only ${bytes} bytes received in ${Math.round(seconds)} seconds, ${bound}; ${remedy}`);
}

/** Reads a body of at most `limit` bytes. @throws CriError DATA_LOSS for a longer one. */
export async function readBody(response: HttpResponse, limit: number, what: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response.chunks) {
    size += chunk.length;
    if (size > limit) throw corrupt(what, `is larger than ${limit} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

/** The target of a redirect. @throws CriError when it leads from TLS to plain HTTP or to another protocol. */
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
  return invalidArgument(`registry ${from.host}`, `refused redirect: ${problem}`);
}
