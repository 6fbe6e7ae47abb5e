import { randomBytes } from 'node:crypto';
import { CriError, StatusCode } from '../../core/model/errors.ts';

/** How long a URL may wait for its client. */
const LIFETIME_MS = 60_000;
/** URLs that may wait at once. */
const MAX_WAITING = 1000;
/** Random bytes that make eight characters of base64url. */
const TOKEN_BYTES = 6;

/** Requests waiting for their client, each behind a random token that works once, for a minute. */
export class TokenCache<T> {
  readonly #now: () => number;
  /** In order of age. */
  readonly #waiting = new Map<string, { request: T; expires: number }>();

  /** `now`: a clock in milliseconds that never goes back. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** A fresh token for the request. @throws CriError RESOURCE_EXHAUSTED when a thousand wait already. */
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

  /** The request behind a token, which is gone then; undefined when there is none or its time is over. */
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
