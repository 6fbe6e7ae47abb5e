import type { Call } from '../call.ts';
import type { Secret } from './secret.ts';

/** The kinds of HTTP request that the API knows. */
export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

/** Sends a call without credentials; `proof` is what its errors must not repeat. Returns the whole JSON of the answer. */
export type Login = (call: Call, proof: readonly Secret[]) => Promise<unknown>;

/** Proves to the API who is calling. */
export interface Credentials {
  /**
   * The headers of the next call; may log in or renew first.
   * @throws CriError UNAUTHENTICATED, FAILED_PRECONDITION (a file), as a call, or the signal's reason.
   */
  headers(method: Method, login: Login, signal: AbortSignal | undefined): Promise<Record<string, string>>;
  /** Told that a call with the headers `sent` was answered 401; true when one with other headers may succeed. */
  refused(sent: Readonly<Record<string, string>>): Promise<boolean>;
  /** What must not appear in any message. */
  secrets(): readonly Secret[];
}
