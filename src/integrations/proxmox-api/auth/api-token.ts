import { failedPrecondition } from '../../../core/model/errors.ts';
import type { Credentials } from './credentials.ts';
import { readSecret, Secret, type SecretSource } from './secret.ts';

/** The id of an API token: `user@realm!name` (pve-access-control, AccessControl.pm, token_subid_regex). */
const TOKEN_ID = /^[^\s:/!]+@[A-Za-z][A-Za-z0-9.\-_]+![A-Za-z][A-Za-z0-9.\-_]+$/;
/** A whole token as the UI shows it once: the id, `=`, the value. */
const WHOLE = /^([^=\s]+)=(\S+)$/;

export interface ApiTokenOptions {
  /** `user@realm!name`; not needed where `secret` is `user@realm!name=value`. */
  id?: string;
  secret: SecretSource;
}

/** An API token: no login, no CSRF header, valid until it is revoked. A file with it is read again after a refusal. */
export class ApiToken implements Credentials {
  readonly #options: ApiTokenOptions;
  #known: readonly Secret[] = [];
  #header: string | undefined;

  constructor(options: ApiTokenOptions) {
    this.#options = options;
  }

  async headers(): Promise<Record<string, string>> {
    this.#header ??= await this.#read();
    return { authorization: this.#header };
  }

  /** True when the file holds another token by now, as after a rotation. */
  async refused(sent: Readonly<Record<string, string>>): Promise<boolean> {
    if (this.#options.secret instanceof Secret) return false;
    this.#header = await this.#read();
    return this.#header !== sent['authorization'];
  }

  secrets(): readonly Secret[] {
    return this.#known;
  }

  async #read(): Promise<string> {
    const secret = await readSecret(this.#options.secret);
    const text = secret.reveal();
    const [, id = this.#options.id, value = text] = WHOLE.exec(text) ?? [];
    if (id === undefined || !TOKEN_ID.test(id) || !/^[\x21-\x7e]+$/.test(value)) {
      throw failedPrecondition(
        'API token: expected an id like "user@pve!name" and the value of the token, or both as "user@pve!name=value"',
      );
    }
    this.#known = [secret, new Secret(value)];
    return `PVEAPIToken=${id}=${value}`;
  }
}
