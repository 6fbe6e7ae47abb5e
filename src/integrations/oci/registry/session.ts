import { setTimeout as delay } from 'node:timers/promises';
import type { Credentials } from '../../../core/model/image.ts';
import { Authenticator } from './authenticator.ts';
import type { Endpoint } from './endpoints.ts';
import { refused, wordsOf } from './failure.ts';
import { type HttpResponse, readBody, type Transport } from './transport.ts';

const MAX_ERROR_BODY = 65_536;
/** Responses that a retry may improve. */
const TRANSIENT = [408, 425, 429, 500, 502, 503, 504];
const MAX_WAIT_MS = 10_000;

export interface SessionOptions {
  transport: Transport;
  endpoint: Endpoint;
  repository: string;
  credentials: Credentials | undefined;
  /** Milliseconds before the first retry, doubled for the second. */
  retryMs: number;
}

/** One repository at one endpoint, for the duration of a pull. */
export class Session {
  readonly endpoint: Endpoint;
  readonly #options: SessionOptions;
  readonly #authenticator: Authenticator;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.endpoint = options.endpoint;
    const { transport, endpoint, repository, credentials } = options;
    this.#authenticator = new Authenticator({ transport, endpoint, repository, credentials });
  }

  /**
   * GETs `<base>/<repository>/<path>`; resolves with the answer once it is 200 or 206.
   * @throws CriError by the registry's answer (401 UNAUTHENTICATED, 403 PERMISSION_DENIED, 404 NOT_FOUND, 429
   *   RESOURCE_EXHAUSTED, 5xx UNKNOWN "RegistryUnavailable: …"), or as Transport.send.
   */
  async get(path: string, headers: Record<string, string>, signal?: AbortSignal): Promise<HttpResponse> {
    const { transport, repository, retryMs } = this.#options;
    const { base, tls, namespace, headers: own = {} } = this.endpoint;
    const url = new URL(`${repository}/${path}`, base);
    if (namespace !== undefined) url.searchParams.set('ns', namespace);
    let answered = false;
    for (let attempt = 0; ;) {
      const sent = { ...own, ...headers, ...this.#authenticator.headers() };
      const response = await transport.send(url, { headers: sent, tls, signal });
      const { statusCode } = response;
      if (statusCode === 200 || statusCode === 206) return response;
      const body = await readBody(response, MAX_ERROR_BODY, `answer of ${base.host}`).catch(() => Buffer.alloc(0));
      if (statusCode === 401 && !answered) {
        answered = true;
        if (await this.#authenticator.answer(response, signal)) continue;
      }
      if (TRANSIENT.includes(statusCode) && attempt < 2) {
        await delay(waitMs(response, retryMs * 2 ** attempt++), undefined, { signal });
        continue;
      }
      const words = wordsOf(body.toString('utf8'), [...this.#authenticator.secrets(), ...Object.values(own)]);
      throw refused(base.host, `${repository} ${path}`, statusCode, words);
    }
  }
}

/** The value of Retry-After (seconds), within reason. */
function waitMs(response: HttpResponse, otherwise: number): number {
  const asked = Number(response.headers['retry-after']) * 1000;
  return Math.min(Number.isFinite(asked) && asked > 0 ? asked : otherwise, MAX_WAIT_MS);
}
