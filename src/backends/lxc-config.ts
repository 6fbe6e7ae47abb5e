import { invalidArgument } from '../core/model/errors.ts';

/** One line of an LXC configuration file (lxc.container.conf(5)). `field` names where the value came from, for errors. */
export interface LxcSetting {
  key: string;
  value: string;
  field: string;
}

/**
 * Writes settings as the text of an LXC configuration file: the only writer of such files, for liblxc runs the hooks of
 * whatever line it reads as root. liblxc reads line by line, trims blanks, and takes one pair of quotes off a value that
 * starts and ends with the same one; so a value with blanks or quotes at its ends is put into a pair of its own.
 *
 * | value | outcome |
 * |---|---|
 * | newline, carriage return, NUL, any control character but the tab | refused |
 * | half of a surrogate pair (no UTF-8 for it) | refused |
 * | empty (liblxc takes it as "forget this key") | refused |
 * | longer than 64 KiB | refused |
 * | blanks or quotes at its ends | kept, in quotes |
 * | `#`, `=`, backslash, inner quotes, option-like words, U+2028, U+2029 | kept as they are |
 * @throws CriError INVALID_ARGUMENT naming the field.
 */
export function formatLxcConfig(settings: readonly LxcSetting[]): string {
  return settings.map(formatLine).join('');
}

function formatLine({ key, value, field }: LxcSetting): string {
  if (!/^lxc(\.[a-z0-9_-]+)+$/.test(key)) throw invalidArgument(field, `${JSON.stringify(key)} is not an LXC key`);
  if (value === '') throw invalidArgument(field, 'is empty');
  if (Buffer.byteLength(value) > 65_536) throw invalidArgument(field, 'is longer than 65536 bytes');
  if (/[\x00-\x08\x0a-\x1f\x7f]/.test(value) || !value.isWellFormed()) {
    throw invalidArgument(
      field,
      `${JSON.stringify(value.slice(0, 80))} contains a control character or is not Unicode`,
    );
  }
  return `${key} = ${/^[\s'"]|[\s'"]$/.test(value) ? `"${value}"` : value}\n`;
}

/** What {@link isPlainPath} asks for, as the end of an error's sentence. */
export const PLAIN_PATH = 'must be an absolute path of letters, digits and . _ @ % + = : , - only';

/** Whether a path is one word on a hook's line, which liblxc hands to a shell. */
export function isPlainPath(path: string): boolean {
  return /^\/[\w.@%+=:,/-]*$/.test(path);
}
