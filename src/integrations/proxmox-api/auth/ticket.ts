import { performance } from 'node:perf_hooks';
import * as z from 'zod';
import { CriError, failedPrecondition, invalidArgument, StatusCode } from '../../../core/model/errors.ts';
import { abortable } from '../../../utils/async/abortable.ts';
import type { Credentials, Login, Method } from './credentials.ts';
import { readSecret, Secret, type SecretSource } from './secret.ts';

/** The server takes a ticket for two hours (pve-access-control, AccessControl.pm). */
const LIFETIME_MS = 2 * 3_600_000;
const RENEW_MS = LIFETIME_MS / 2;

const ANSWER = z.object({
  data: z.object({
    ticket: z.string().min(1),
    CSRFPreventionToken: z.string().optional(),
    NeedTFA: z.coerce.number().optional(),
  }),
});

/** A ticket with the header that changes need. */
export interface Ticket {
  ticket: Secret;
  csrf: Secret;
  /** When it was made, in milliseconds of the clock of its maker. */
  at: number;
}

/** The headers that show a ticket. */
export function ticketHeaders({ ticket, csrf }: Ticket, method: Method): Record<string, string> {
  return {
    cookie: `PVEAuthCookie=${encodeURIComponent(ticket.reveal())}`,
    ...(method !== 'GET' && { CSRFPreventionToken: csrf.reveal() }),
  };
}

export interface PasswordOptions {
  /** With its realm: `k8s@pve`. */
  username: string;
  password: SecretSource;
  /** The age in milliseconds at which the ticket is renewed by itself. */
  renewMs?: number;
  /** Milliseconds of a steady clock. */
  now?: () => number;
}

/** Logs in by password, and renews the ticket before its two hours are over. Many calls wait for one login. */
export class PasswordLogin implements Credentials {
  readonly #options: PasswordOptions;
  #current: Ticket | undefined;
  #pending: Promise<Ticket> | undefined;
  #password: Secret | undefined;

  /** @throws CriError INVALID_ARGUMENT for a user without a realm. */
  constructor(options: PasswordOptions) {
    if (!/^[^\s:/!]+@[A-Za-z][A-Za-z0-9.\-_]+$/.test(options.username)) {
      throw invalidArgument(
        'username',
        `${JSON.stringify(options.username)} is not a name with its realm, as in "k8s@pve"`,
      );
    }
    this.#options = options;
  }

  async headers(method: Method, login: Login, signal: AbortSignal | undefined): Promise<Record<string, string>> {
    const current = this.#current;
    if (current && this.#now() - current.at < this.#renewMs()) return ticketHeaders(current, method);
    this.#pending ??= this.#renew(login).finally(() => {
      this.#pending = undefined;
    });
    return ticketHeaders(await abortable(this.#pending, signal), method);
  }

  async refused(sent: Readonly<Record<string, string>>): Promise<boolean> {
    const current = this.#current;
    if (current && ticketHeaders(current, 'GET')['cookie'] === sent['cookie']) this.#current = undefined;
    return true;
  }

  secrets(): readonly Secret[] {
    const { ticket, csrf } = this.#current ?? {};
    return [this.#password, ticket, csrf].filter((each) => each !== undefined);
  }

  async #renew(login: Login): Promise<Ticket> {
    const old = this.#current;
    const isValid = old && this.#now() - old.at < LIFETIME_MS;
    if (isValid) {
      try {
        return (this.#current = await this.#logIn(login, old.ticket));
      } catch (error) {
        // The old one still serves; the next call tries again.
        if (!(error instanceof CriError) || error.code !== StatusCode.UNAUTHENTICATED) return old;
      }
    }
    this.#password = await readSecret(this.#options.password);
    return (this.#current = await this.#logIn(login, this.#password));
  }

  async #logIn(login: Login, proof: Secret): Promise<Ticket> {
    const { username } = this.#options;
    const params = { username, password: proof.reveal() };
    // Its age counts from before the request.
    const at = this.#now();
    const answer = ANSWER.safeParse(await login({ method: 'POST', template: '/access/ticket', params }, [proof]));
    if (!answer.success) throw failedPrecondition(`Proxmox API: unexpected answer to the login of ${username}`);
    const { ticket, CSRFPreventionToken: csrf = '', NeedTFA: second } = answer.data.data;
    if (second === 1 || ticket.startsWith('PVE:!tfa!')) {
      throw failedPrecondition(`Proxmox API: ${username} needs a second factor: use an API token instead`);
    }
    return { ticket: new Secret(ticket), csrf: new Secret(csrf), at };
  }

  #now(): number {
    return (this.#options.now ?? (() => performance.now()))();
  }

  #renewMs(): number {
    return this.#options.renewMs ?? RENEW_MS;
  }
}
