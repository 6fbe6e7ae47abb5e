import { isatty } from 'node:tty';
import type { FileSecret } from '../../core/model/file-secret.ts';
import { type CliContext, type Input, UsageError } from '../command.ts';
import { HiddenInput } from '../stream/hidden-input.ts';
import { wholeNumber } from '../values.ts';
import type { AskSecret } from './files.ts';

/** What the options give; undefined without them. @throws UsageError for two of them; CriError for what cannot be read. */
async function givenSecret(context: CliContext, input: Input, prefix = ''): Promise<FileSecret | undefined> {
  const names = ['key-file', 'password-file', 'password-fd'].map((name) => `${prefix}${name}`);
  const given = names.filter((name) => input.text(name) !== undefined);
  if (prefix === '' && input.has('ask-password')) given.push('ask-password');
  const [name, other] = given;
  if (other !== undefined) throw new UsageError(`--${name ?? ''} and --${other} exclude each other`);
  const value = name === undefined ? undefined : input.text(name);
  if (name === undefined || value === undefined) return undefined;
  const files = await context.bfcFiles();
  if (name.endsWith('key-file')) return files.readKey(value);
  if (name.endsWith('password-file')) return files.readPassword(value);
  const descriptor = wholeNumber(name, value, 0, 2 ** 20);
  if (isatty(descriptor))
    throw new UsageError(`--${name}: is a terminal, which would show the password; use --ask-password`);
  return files.readPassword(descriptor);
}

/** What encrypts a file that is written; undefined: nothing. A password on the terminal is asked for twice. @throws as {@link secretFor}. */
export async function writeSecret(context: CliContext, input: Input, file: string): Promise<FileSecret | undefined> {
  const given = await givenSecret(context, input);
  if (!input.has('ask-password')) return given;
  return askPassword(context, [`New password of ${file}: `, 'Repeat it: ']);
}

/**
 * What opens a file that is read: what the options give, or else a password that is asked for on the terminal. Options are read at
 * once, so that a pipe that never ends can still be interrupted.
 * @param asks whether the terminal is asked without `--ask-password`.
 * @throws UsageError, CriError for what the options name; Error when no password is typed.
 */
export async function secretFor(
  context: CliContext,
  input: Input,
  { asks, prefix = '' }: { asks: boolean; prefix?: string },
): Promise<{ ask: AskSecret; isGiven: boolean }> {
  const given = await givenSecret(context, input, prefix);
  const ask: AskSecret = async (file, kind) => {
    if (given !== undefined) return given;
    const isWanted = prefix === '' && input.has('ask-password');
    if (kind === 'key' || !(isWanted || (asks && context.stdin().isTTY === true))) return undefined;
    return askPassword(context, [`Password of ${file}: `]);
  };
  return { ask, isGiven: given !== undefined };
}

async function askPassword(context: CliContext, [question = '', again]: readonly string[]): Promise<FileSecret> {
  const stdin = context.stdin();
  if (stdin.isTTY !== true) {
    throw new UsageError('standard input is not a terminal; use --password-file or --password-fd');
  }
  using terminal = new HiddenInput(stdin, context.stderr);
  const password = await terminal.line(question);
  if (password.length === 0) throw new Error('the password is empty');
  if (again !== undefined && !(await terminal.line(again)).equals(password)) throw new Error('the passwords differ');
  return { kind: 'password', password };
}
