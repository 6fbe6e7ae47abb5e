/** Replacement of a credential. */
export const REDACTED = '[redacted]';

const SECRET_NAME =
  /(?:password|passwd|passphrase|secret|token|credentials?|apikey|privatekey)$|^(?:auth|authorization|cookie|setcookie)$/;

/** True for the name of a field with a credential: password, auth, identity_token, registryToken, x-api-key … */
export function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name.toLowerCase().replaceAll(/[-_.]/g, ''));
}

const USERINFO = /(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/?#@"']+@/gi;
const SCHEME = /\b(bearer|basic|PVEAPIToken)([ =]+)[\w.~+/!@=:-]{16,}/gi;

/** Replaces credentials inside a string: user information of URLs and Authorization values. */
export function redactText(text: string): string {
  if (!text.includes('://') && !/bearer|basic|PVEAPIToken/i.test(text)) return text;
  return text.replace(USERINFO, `$1${REDACTED}@`).replace(SCHEME, `$1$2${REDACTED}`);
}
