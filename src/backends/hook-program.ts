import { failedPrecondition } from '../core/model/errors.ts';
import { findNative } from '../host/native/find.ts';
import { PLAIN_PATH, isPlainPath } from './lxc-config.ts';

/**
 * The native helper, whose command `hook` liblxc runs, also while this server is down. liblxc passes the line of a hook to a
 * shell.
 * @throws CriError FAILED_PRECONDITION for a path that is not one word there; UNAVAILABLE when there is no native helper.
 */
export function hookProgram(): string {
  const path = findNative();
  if (isPlainPath(path)) return path;
  throw failedPrecondition(`the native helper ${JSON.stringify(path)} ${PLAIN_PATH}`);
}
