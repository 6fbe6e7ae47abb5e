import { posix } from 'node:path';
import { invalidArgument } from '../model/errors.ts';

const CONTROL = /[\u0000-\u001f\u007f\u2028\u2029]/;

/**
 * Refuses control characters and line separators in a value that ends up on one line of a file, a name or a path.
 * @throws CriError INVALID_ARGUMENT naming `field`.
 */
export function checkLine(field: string, value: string): void {
  if (CONTROL.test(value)) throw invalidArgument(field, 'must not contain control characters or line breaks');
}

/** Refuses a NUL byte, which execve(2) arguments cannot contain. @throws CriError INVALID_ARGUMENT naming `field`. */
export function checkNoNul(field: string, value: string): void {
  if (value.includes('\0')) throw invalidArgument(field, 'must not contain a NUL byte');
}

/** Refuses a path that is not absolute or contains control characters. @throws CriError INVALID_ARGUMENT naming `field`. */
export function checkAbsolutePath(field: string, value: string): void {
  if (!posix.isAbsolute(value)) throw invalidArgument(field, `${JSON.stringify(value)} must be an absolute path`);
  checkLine(field, value);
}
