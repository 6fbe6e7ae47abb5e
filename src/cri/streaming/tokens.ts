import { randomBytes } from 'node:crypto';
import { CriError, StatusCode } from '../../core/model/errors.ts';

/** Lifetime of an unused URL. */
const LIFETIME_MS = 60_000;
/** Maximum number of unused URLs. */
const MAX_WAITING = 1000;
/** Bytes of their commands together. */
const MAX_WAITING_BYTES = 64 * 1_048_576;
/** Random bytes for eight characters of base64url. */
const TOKEN_BYTES = 6;

/** Requests that wait for their client, each with a random single-use token that is valid for a minute. */
export class TokenCache<T> {
  readonly #now: () => number;
  /** In order of age. */
  readonly #waiting = new Map<string, { request: T; bytes: number; expires: number }>();
  #bytes = 0;

  /** `now`: a monotonic clock in milliseconds. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /**
   * A new token for the request, whose command has so many bytes.
   * @throws CriError RESOURCE_EXHAUSTED when a thousand are unused, or their commands take more than 64 MiB.
   */
  insert(request: T, bytes = 0): string {
    this.#expire();
    if (this.#waiting.size >= MAX_WAITING) {
      throw new CriError(
        StatusCode.RESOURCE_EXHAUSTED,
        `maximum number of in-flight requests exceeded: ${String(MAX_WAITING)} streaming URLs wait for their clients`,
      );
    }
    if (this.#bytes + bytes > MAX_WAITING_BYTES) {
      const waiting = `the commands of ${String(this.#waiting.size)} streaming URLs that wait for their clients`;
      const message = `${waiting} take more than ${String(MAX_WAITING_BYTES)} bytes; connect to them, or wait a minute`;
      throw new CriError(StatusCode.RESOURCE_EXHAUSTED, message);
    }
    let token: string;
    do token = randomBytes(TOKEN_BYTES).toString('base64url');
    while (this.#waiting.has(token));
    this.#bytes += bytes;
    this.#waiting.set(token, { request, bytes, expires: this.#now() + LIFETIME_MS });
    return token;
  }

  /** The request of a token, which becomes invalid; undefined for an unknown or expired token. */
  consume(token: string): T | undefined {
    this.#expire();
    return this.#take(token)?.request;
  }

  #expire(): void {
    const now = this.#now();
    for (const [token, { expires }] of this.#waiting) {
      if (expires > now) return;
      this.#take(token);
    }
  }

  #take(token: string): { request: T } | undefined {
    const found = this.#waiting.get(token);
    this.#bytes -= found?.bytes ?? 0;
    this.#waiting.delete(token);
    return found;
  }
}
