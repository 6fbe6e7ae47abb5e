import { randomBytes } from 'node:crypto';
import { CriError, StatusCode } from '../../core/model/errors.ts';

/** Lifetime of an unused URL. */
const LIFETIME_MS = 60_000;
/** Maximum number of unused URLs. */
const MAX_WAITING = 1000;
/** Random bytes for eight characters of base64url. */
const TOKEN_BYTES = 6;

/** Requests that wait for their client, each with a random single-use token that is valid for a minute. */
export class TokenCache<T> {
  readonly #now: () => number;
  /** In order of age. */
  readonly #waiting = new Map<string, { request: T; expires: number }>();

  /** `now`: a monotonic clock in milliseconds. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** A new token for the request. @throws CriError RESOURCE_EXHAUSTED when a thousand are unused. */
  insert(request: T): string {
    this.#expire();
    if (this.#waiting.size >= MAX_WAITING) {
      throw new CriError(
        StatusCode.RESOURCE_EXHAUSTED,
        `maximum number of in-flight requests exceeded: ${String(MAX_WAITING)} streaming URLs wait for their clients`,
      );
    }
    let token: string;
    do token = randomBytes(TOKEN_BYTES).toString('base64url');
    while (this.#waiting.has(token));
    this.#waiting.set(token, { request, expires: this.#now() + LIFETIME_MS });
    return token;
  }

  /** The request of a token, which becomes invalid; undefined for an unknown or expired token. */
  consume(token: string): T | undefined {
    this.#expire();
    const found = this.#waiting.get(token);
    this.#waiting.delete(token);
    return found?.request;
  }

  #expire(): void {
    const now = this.#now();
    for (const [token, { expires }] of this.#waiting) {
      if (expires > now) return;
      this.#waiting.delete(token);
    }
  }
}
