import { printable } from '../../core/logging/escape.ts';

/** Well-formed sequences of UTF-8 (Unicode standard, table 3-7), or one other byte in the group. */
const SEQUENCES =
  /[\x00-\x7f]+|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}|([^])/g;

/**
 * A path on one line without loss: bytes that are no UTF-8 as `\xff`, control characters as {@link printable} writes them, and
 * a backslash as two.
 */
export function pathText(path: Buffer): string {
  return path.toString('latin1').replaceAll(SEQUENCES, (sequence, other: string | undefined) => {
    if (other !== undefined) return `\\x${other.charCodeAt(0).toString(16)}`;
    return printable(Buffer.from(sequence, 'latin1').toString('utf8').replaceAll('\\', '\\\\'));
  });
}
