import type { Secret } from './secret.ts';

/** Shorter values are no credentials, and removing them would garble what is left. */
const SHORTEST = 6;
/** Parameters whose values are not repeated, whatever the server says about them. */
const SENSITIVE = /^(password|confirmation-password|cipassword|env|sshkeys|ssh-public-keys|ticket|vncticket|otp)$/;

/** Removes credentials from texts of the server and of libraries before they get into an error. */
export class Scrubber {
  readonly #values: string[];

  constructor(secrets: readonly (Secret | string)[]) {
    const plain = secrets.map((secret) => (typeof secret === 'string' ? secret : secret.reveal()));
    const all = plain.flatMap((value) => [value, encodeURIComponent(value), JSON.stringify(value).slice(1, -1)]);
    // The longest first: one may be a part of another.
    this.#values = [...new Set(all)].filter((each) => each.length >= SHORTEST).sort((a, b) => b.length - a.length);
  }

  /** `text` with every secret replaced. */
  clean(text: string): string {
    return this.#values.reduce((cleaned, value) => cleaned.replaceAll(value, '[redacted]'), text);
  }
}

/** The values of a call's parameters that its errors must not repeat; of `env`, also each variable's value. */
export function sensitiveValues(params: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(params).flatMap(([name, value]) => {
    if (!SENSITIVE.test(name) || typeof value !== 'string') return [];
    if (name !== 'env') return [value];
    return [value, ...value.split('\0').map((each) => each.slice(each.indexOf('=') + 1))];
  });
}
