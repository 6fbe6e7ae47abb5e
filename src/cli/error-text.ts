import { isErrno, messageOf } from '../utils/errors.ts';

/** The message of an error, with the remedy for a permission error of a user other than root. */
export function errorText(error: unknown): string {
  const remedy = isErrno(error, 'EACCES', 'EPERM') && process.geteuid?.() !== 0 ? '; run as root' : '';
  return `${messageOf(error)}${remedy}`;
}
