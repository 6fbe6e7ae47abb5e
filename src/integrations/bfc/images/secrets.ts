import { createReadStream } from 'node:fs';
import { invalidArgument } from '../../../core/model/errors.ts';
import type { Credentials } from '../../../core/model/image.ts';
import { messageOf } from '../../../utils/errors.ts';
import { BfcError } from '../errors.ts';
import { type BfcSecret, readKeyFile } from '../key.ts';
import type { BfcReader, OpenOptions } from '../reader.ts';

/** User names of credentials that are for BFC files: with a password, or with a key in base64 as the password. */
export const PASSWORD_USER = 'bfc';
export const KEY_USER = 'bfc-key';
const KEY_BYTES = 32;
/** Of a password; a file that is longer is another file. */
const MAX_PASSWORD_BYTES = 65_536;

/** Files with what opens BFC files. */
export interface SecretFiles {
  /** Each with a key, its first 32 bytes. */
  keys: readonly string[];
  /** Each with a password, without the line's end. */
  passwords: readonly string[];
}

/** @throws CriError INVALID_ARGUMENT for one that cannot be read. */
export async function readSecrets({ keys, passwords }: SecretFiles): Promise<BfcSecret[]> {
  return Promise.all([...keys.map(readKeyFile), ...passwords.map(readPassword)]);
}

/**
 * A password of any bytes, without the line's end, from a file or an open descriptor.
 * @throws CriError INVALID_ARGUMENT when there is none, or it is too long.
 */
export async function readPassword(from: string | number): Promise<BfcSecret> {
  const bad = (problem: string) =>
    typeof from === 'string'
      ? invalidArgument('password file', `${JSON.stringify(from)} ${problem}`)
      : invalidArgument('password', `descriptor ${from} ${problem}`);
  const parts: Buffer[] = [];
  let length = 0;
  try {
    // A device or a pipe may have no end.
    const source = typeof from === 'string' ? { path: from } : { path: '', fd: from, autoClose: false };
    for await (const part of createReadStream(source.path, {
      ...source,
      end: MAX_PASSWORD_BYTES,
    }) as AsyncIterable<Buffer>) {
      parts.push(part);
      length += part.length;
    }
  } catch (error) {
    throw bad(`cannot be read: ${messageOf(error)}`);
  }
  if (length > MAX_PASSWORD_BYTES) throw bad(`has more than ${MAX_PASSWORD_BYTES} bytes`);
  const text = Buffer.concat(parts).toString('latin1');
  const password = Buffer.from(text.replace(/\r?\n$/, ''), 'latin1');
  if (password.length === 0) throw bad('is empty');
  return { kind: 'password', password };
}

/** The secret in the credentials of a pull; none in those of a registry. @throws CriError INVALID_ARGUMENT for a key of another size. */
export function secretsOf(credentials: Credentials | undefined): BfcSecret[] {
  const { username, password = '' } = credentials ?? {};
  if (username === PASSWORD_USER) return [{ kind: 'password', password: Buffer.from(password) }];
  if (username !== KEY_USER) return [];
  const key = Buffer.from(password, 'base64');
  if (key.length !== KEY_BYTES) {
    throw invalidArgument('auth.password', `with the user name ${KEY_USER} must be ${KEY_BYTES} bytes in base64`);
  }
  return [{ kind: 'key', key }];
}

/**
 * Opens a BFC file, by `open`, with the first of the secrets that fits, where it needs one.
 * @throws BfcError `key` when none does; what `open` throws.
 */
export async function openWithSecrets(
  path: string,
  secrets: readonly BfcSecret[],
  open: (path: string, options?: OpenOptions) => Promise<BfcReader>,
): Promise<BfcReader> {
  const plain = await open(path);
  let isEncrypted = false;
  for (const { encrypted } of plain.index) isEncrypted ||= encrypted;
  if (!isEncrypted) return plain;
  await plain.close();
  const kind = plain.header.salt.some((byte) => byte !== 0) ? 'password' : 'key';
  const fitting = secrets.filter((secret) => secret.kind === kind);
  for (const secret of fitting) {
    const reader = await open(path, { secret });
    try {
      await reader.checkKey();
      return reader;
    } catch (error) {
      await reader.close();
      if (!(error instanceof BfcError) || error.problem !== 'key') throw error;
    }
  }
  throw new BfcError('key', { file: path }, keyProblem(kind, fitting.length));
}

function keyProblem(kind: BfcSecret['kind'], tried: number): string {
  const [what, key, user] =
    kind === 'key' ? ['a key file', 'key_files', KEY_USER] : ['a password', 'password_files', PASSWORD_USER];
  const remedy = `name a file with it in bfc.${key}, or give it in the image pull secret with the user name ${user}`;
  if (tried === 0) return `is encrypted with ${what}, and there is none; ${remedy}`;
  return `is encrypted with ${what}, and the ${tried} known do not fit, or the file was changed; ${remedy}`;
}
