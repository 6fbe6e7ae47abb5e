import type { CommandError } from '../../../host/processes/run.ts';
import { isErrno } from '../../../utils/errors.ts';
import { poolOf } from '../names.ts';
import { kindOf, REMEDIES } from './table.ts';
import { type ErrorKind, UnmountedError, ZfsError } from './zfs-error.ts';

/** What a failed command was for. */
export interface Attempt {
  /** `zfs create`, for the message. */
  what: string;
  /** The dataset, snapshot or pool it was run for; empty: all pools. */
  object: string;
}

/** Characters of a program's words in a message. */
const MAX_WORDS = 500;
/** Characters in which a reason is looked for. */
const MAX_READ = 4000;

/** The error of a program that has ended with an exit code other than 0, or could not be started. */
export function errorFrom(attempt: Attempt, error: CommandError): ZfsError {
  if (isErrno(error.cause, 'ENOENT')) return zfsError('noZfs', attempt, `${error.command} not found`, error);
  const said = (error.stderr.trim() || error.stdout.trim()).slice(0, MAX_READ);
  // A wrong command line is answered with the whole usage.
  const reason = said.replace(/\n+usage:[^]*$/i, '');
  const named = quotedIn(reason) ?? attempt.object;
  const kind = kindOf(withoutNames(reason, [named, attempt.object]));
  return zfsError(kind, { ...attempt, object: named }, wordsOf(reason) || error.message, error);
}

/** The error of a program that has ended with code 0 and did not do everything; undefined where it did. */
export function errorOfSuccess(attempt: Attempt, stderr: string): ZfsError | undefined {
  const [, reason] = /^cannot mount '[^'\n]*': (.*)\n[^]*successfully created, but/.exec(stderr) ?? [];
  if (reason === undefined) return undefined;
  const { kind, object, message } = zfsError(kindOf(reason), attempt, reason.slice(0, MAX_WORDS));
  return new UnmountedError(kind, object, message);
}

/** An error that names its object, the reason, and the remedy that its kind has. */
export function zfsError(kind: ErrorKind, { what, object }: Attempt, reason: string, cause?: unknown): ZfsError {
  const remedy = REMEDIES[kind]?.(object, poolOf(object));
  const subject = object === '' ? what : `${what} ${object}`;
  return new ZfsError(kind, object, `${subject}: ${reason}${remedy === undefined ? '' : `; ${remedy}`}`, { cause });
}

/** The object that the program names: it may be a child of the one it was run for. */
function quotedIn(reason: string): string | undefined {
  const name = /^cannot [a-z ]+ '([A-Za-z][A-Za-z0-9_.:/@ -]{0,254})'/.exec(reason)?.[1];
  return name?.startsWith('/') === true ? undefined : name;
}

/** Names are chosen by others, and may consist of the words of an error; a pool's own is often one of them. */
function withoutNames(reason: string, names: readonly string[]): string {
  const unquoted = reason.replaceAll(/'[^'\n]*'/g, "''");
  return names.filter((name) => /[/@]/.test(name)).reduce((text, name) => text.replaceAll(name, ''), unquoted);
}

/** The reason on one line, without what the message says already. */
function wordsOf(reason: string): string {
  return reason
    .replace(/^cannot [a-z ]+ '[^'\n]*': /, '')
    .replaceAll(/\s*\n\s*/g, '; ')
    .slice(0, MAX_WORDS);
}
