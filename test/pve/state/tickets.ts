import { createHmac, createSign, createVerify, generateKeyPairSync, randomBytes, timingSafeEqual } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** How long a ticket is good for, in seconds. */
const lifetime = 7200;

const stamp = (seconds: number): string => seconds.toString(16).toUpperCase().padStart(8, '0');

function equal(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
}

/** Of all clusters of this process: it takes a long time to make. */
let pair: ReturnType<typeof makePair> | undefined;

function makePair() {
  return generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  });
}

function keep(file: string, content: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  chmodSync(file, 0o600);
}

/**
 * Tickets and their CSRF tokens, as the cluster signs them: RSA over `PVE:user:TIME` by `priv/authkey.key`, HMAC by
 * `pve-www.key`, both below the directory of the cluster's files. Who may read these can make tickets of their own.
 */
export class Tickets {
  readonly #private: string;
  readonly #public: string;
  readonly #secret: string;

  constructor(directory: string) {
    const [key, www] = [join(directory, 'priv/authkey.key'), join(directory, 'pve-www.key')];
    if (!existsSync(key)) {
      pair ??= makePair();
      keep(key, pair.privateKey);
      keep(join(directory, 'authkey.pub'), pair.publicKey);
      keep(www, `${randomBytes(32).toString('base64')}\n`);
    }
    this.#private = readFileSync(key, 'utf8');
    this.#public = readFileSync(join(directory, 'authkey.pub'), 'utf8');
    this.#secret = createHmac('sha256', readFileSync(www)).update('').digest('base64').replace(/=+$/, '');
  }

  /** A ticket of `user`, as of `now` seconds since the epoch. */
  issue(user: string, now = Math.floor(Date.now() / 1000)): string {
    const plain = `PVE:${user}:${stamp(now)}`;
    return `${plain}::${createSign('sha1').update(plain).sign(this.#private, 'base64')}`;
  }

  /** The user of a ticket; undefined when it is forged, too old or from the future. */
  verify(ticket: string, now = Math.floor(Date.now() / 1000)): string | undefined {
    const [, plain = '', user = '', time = '', signature = ''] =
      /^(PVE:([^:\s]+):([0-9A-F]{8}))::(.+)$/.exec(ticket) ?? [];
    if (!createVerify('sha1').update(plain).verify(this.#public, signature, 'base64')) return undefined;
    const age = now - parseInt(time, 16);
    return age > -300 && age < lifetime ? user : undefined;
  }

  /** The CSRF token of `user`. */
  csrf(user: string, now = Math.floor(Date.now() / 1000)): string {
    return `${stamp(now)}:${this.#sign(`${stamp(now)}:${user}`)}`;
  }

  verifyCsrf(token: string, user: string, now = Math.floor(Date.now() / 1000)): boolean {
    const [, time = '', signature = ''] = /^([0-9A-F]{8}):(.+)$/.exec(token) ?? [];
    const age = now - parseInt(time, 16);
    return equal(signature, this.#sign(`${time}:${user}`)) && age > -300 && age < lifetime;
  }

  #sign(text: string): string {
    return createHmac('sha256', this.#secret).update(text).digest('base64').replace(/=+$/, '');
  }
}
