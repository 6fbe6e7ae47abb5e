import { readFile } from 'node:fs/promises';
import { inspect } from 'node:util';
import { failedPrecondition } from '../../../core/model/errors.ts';
import { isErrno, messageOf } from '../../../utils/errors.ts';

const SHOWN = '[redacted]';

/** A value that no log line, error, JSON text or inspection shows; only {@link reveal} returns it. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The value itself: for the wire, never for a message. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return SHOWN;
  }

  toJSON(): string {
    return SHOWN;
  }

  [inspect.custom](): string {
    return SHOWN;
  }
}

/** Where a credential comes from: its value, or a file that holds it alone. A file is read again whenever it is needed. */
export type SecretSource = Secret | { file: string };

/**
 * The credential of `source`, without blanks around it.
 * @throws CriError FAILED_PRECONDITION that names the file when it cannot be read or is empty.
 */
export async function readSecret(source: SecretSource): Promise<Secret> {
  if (source instanceof Secret) return source;
  return new Secret((await readKeyFile(source.file)).trim());
}

/** The text of a credential's file. @throws CriError FAILED_PRECONDITION that names the file, never its content. */
export async function readKeyFile(path: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    const why = isErrno(error, 'ENOENT') ? 'does not exist' : `cannot be read: ${messageOf(error)}`;
    throw failedPrecondition(`${path}: ${why}`, error);
  }
  if (text.trim() === '') throw failedPrecondition(`${path}: is empty`);
  return text;
}
