import { createHmac, createPrivateKey, createSign, type KeyObject } from 'node:crypto';
import { failedPrecondition } from '../../../core/model/errors.ts';
import type { Credentials, Method } from './credentials.ts';
import { readKeyFile, Secret } from './secret.ts';
import { type Ticket, ticketHeaders } from './ticket.ts';

const USER = 'root@pam';
/** Well below the two hours of a ticket; the key is replaced once a day, and the old one accepted for two hours. */
const RENEW_MS = 3_600_000;
/** What the server's Crypt::OpenSSL::RSA signs with by default: SHA-1 up to 0.35, SHA-256 after it. */
const DIGESTS = ['sha1', 'sha256'] as const;

export interface LocalTicketOptions {
  /** The private key that signs the cluster's tickets; readable by root on a node only. */
  authKeyFile?: string;
  /** The secret of the CSRF header. */
  csrfKeyFile?: string;
  /** Milliseconds since 1970 of the node's clock, which dates the ticket. */
  now?: () => number;
}

/**
 * A ticket of root@pam that is made on a node of the cluster, as pve-common's Ticket.pm makes it: for the few calls that
 * the API allows root@pam alone.
 */
export class LocalTicket implements Credentials {
  readonly #authKeyFile: string;
  readonly #csrfKeyFile: string;
  readonly #now: () => number;
  #current: Ticket | undefined;
  #digest: (typeof DIGESTS)[number] = DIGESTS[0];

  constructor({
    authKeyFile = '/etc/pve/priv/authkey.key',
    csrfKeyFile = '/etc/pve/pve-www.key',
    now = Date.now,
  }: LocalTicketOptions = {}) {
    this.#authKeyFile = authKeyFile;
    this.#csrfKeyFile = csrfKeyFile;
    this.#now = now;
  }

  async headers(method: Method): Promise<Record<string, string>> {
    const age = this.#current ? this.#now() - this.#current.at : Infinity;
    // A clock that was set back makes the ticket one of the future.
    if (!this.#current || age < 0 || age >= RENEW_MS) this.#current = await this.#mint();
    return ticketHeaders(this.#current, method);
  }

  /** True when another key or digest is worth a try. */
  async refused(sent: Readonly<Record<string, string>>): Promise<boolean> {
    const current = this.#current;
    if (!current || ticketHeaders(current, 'GET')['cookie'] !== sent['cookie']) return true;
    this.#current = undefined;
    this.#digest = DIGESTS[(DIGESTS.indexOf(this.#digest) + 1) % DIGESTS.length] ?? DIGESTS[0];
    return true;
  }

  secrets(): readonly Secret[] {
    return this.#current ? [this.#current.ticket, this.#current.csrf] : [];
  }

  async #mint(): Promise<Ticket> {
    const [authKey, csrfKey] = await Promise.all([readKeyFile(this.#authKeyFile), readKeyFile(this.#csrfKeyFile)]);
    const at = this.#now();
    const date = Math.floor(at / 1000)
      .toString(16)
      .toUpperCase()
      .padStart(8, '0');
    const plain = `PVE:${USER}:${date}`;
    const signature = createSign(this.#digest).update(plain).sign(this.#privateKey(authKey), 'base64');
    const secret = hmac(csrfKey, '');
    return {
      ticket: new Secret(`${plain}::${signature}`),
      csrf: new Secret(`${date}:${hmac(secret, `${date}:${USER}`)}`),
      at,
    };
  }

  #privateKey(pem: string): KeyObject {
    try {
      return createPrivateKey(pem);
    } catch {
      throw failedPrecondition(`${this.#authKeyFile}: is not a private key in PEM`);
    }
  }
}

/** Base64 without padding, as Perl's Digest::SHA writes it. */
function hmac(key: string, text: string): string {
  return createHmac('sha256', key).update(text).digest('base64').replace(/=+$/, '');
}
