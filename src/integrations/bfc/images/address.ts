import { isAbsolute, normalize } from 'node:path';
import { invalidArgument } from '../../../core/model/errors.ts';

/** `bfc:///PATH[:NAME]` */
export interface BfcAddress {
  /** Absolute and without `..`. */
  path: string;
  /** Of an image in the file; undefined for its only one. */
  name: string | undefined;
}

const SCHEME = 'bfc://';

/**
 * Reads an address; undefined for one of another scheme. The path ends at the first `.bfc` before a colon or the end.
 * @throws CriError INVALID_ARGUMENT for a malformed one.
 */
export function parseAddress(text: string): BfcAddress | undefined {
  if (!text.startsWith(SCHEME)) return undefined;
  const [, path = '', name] = /^(.*?\.bfc)(?::(.+))?$/s.exec(text.slice(SCHEME.length)) ?? [];
  if (isAbsolute(path) && !path.includes('\0')) return { path: normalize(path), name };
  const shown = JSON.stringify(text.slice(0, 300));
  throw invalidArgument('image.image', `${shown} must be bfc:///PATH/FILE.bfc or bfc:///PATH/FILE.bfc:NAME`);
}
