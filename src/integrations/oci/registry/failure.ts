import { CriError, StatusCode, unknown } from '../../../core/model/errors.ts';
import { isErrno, messageOf } from '../../../utils/errors.ts';

/** The prefix that the kubelet recognizes as temporary (cri-api, pkg/errors, ErrRegistryUnavailable). */
const PREFIX = 'RegistryUnavailable';

const CODES: Record<number, StatusCode> = {
  400: StatusCode.INVALID_ARGUMENT,
  401: StatusCode.UNAUTHENTICATED,
  403: StatusCode.PERMISSION_DENIED,
  404: StatusCode.NOT_FOUND,
  429: StatusCode.RESOURCE_EXHAUSTED,
};

/** The error for an unsuccessful response. `what` is the requested object, `words` the registry's message. */
export function refused(host: string, what: string, status: number, words: string): CriError {
  const said = `registry ${host} returned ${status} for ${what}${words && `: ${words}`}`;
  if (status >= 500) return unknown(`${PREFIX}: ${said}`);
  const hint = status === 401 ? '; the image may not exist, or requires credentials (imagePullSecrets)' : '';
  return new CriError(CODES[status] ?? StatusCode.UNKNOWN, said + hint);
}

/** The error for an unreachable registry. */
export function unreachable(host: string, cause: unknown): CriError {
  const hint = isErrno(cause, 'ERR_SSL_WRONG_VERSION_NUMBER', 'EPROTO', 'ERR_SSL_PACKET_LENGTH_TOO_LONG')
    ? '; if it uses plain HTTP, add it to images.insecure_registries'
    : '';
  return unknown(`${PREFIX}: ${host}: ${reasonOf(cause)}${hint}`, cause);
}

/**
 * A registry's own message in an error body (distribution specification, "Error Codes"): one line of printable text, at
 * most 300 characters, without secrets.
 */
export function wordsOf(body: string, secrets: readonly string[]): string {
  let words = body;
  try {
    const { errors } = JSON.parse(body) as { errors?: { code?: unknown; message?: unknown }[] };
    if (Array.isArray(errors)) {
      words = errors
        .map(({ code, message }) => [code, message].filter((part) => typeof part === 'string').join(': '))
        .join('; ');
    }
  } catch {
    // Not JSON, or not of that shape: a proxy's HTML page is not a useful message.
    if (/^\s*</.test(body)) return '';
  }
  for (const secret of secrets) if (secret !== '') words = words.replaceAll(secret, '[redacted]');
  return words
    .replaceAll(/[^\x20-\x7e]+/g, ' ')
    .trim()
    .slice(0, 300);
}

/** Node.js reports several failed addresses as one error without a message. */
function reasonOf(cause: unknown): string {
  if (cause instanceof AggregateError) return cause.errors.map(messageOf).join('; ');
  return messageOf(cause);
}
