import { readFile } from 'node:fs/promises';
import { invalidArgument } from '../../model/errors.ts';
import type { SeccompProfile } from '../../model/security.ts';
import { isErrno } from '../../../utils/errors.ts';
import { defaultSeccompFilter } from './seccomp-default.ts';

/**
 * The seccomp filter of `linux.seccomp`: none, the OCI document of a file, or our own allow list.
 * @param bounding the container's bounding set, which decides what the allow list holds.
 * @throws CriError INVALID_ARGUMENT for a profile file that cannot be used.
 */
export async function seccompFilter(profile: SeccompProfile, bounding: readonly string[]): Promise<object | undefined> {
  if (profile.type === 'unconfined') return undefined;
  if (profile.type === 'runtime-default') return defaultSeccompFilter(bounding);
  const { path } = profile;
  const field = 'config.linux.security_context.seccomp.localhost_ref';
  try {
    const document: unknown = JSON.parse(await readFile(path, 'utf8'));
    if (typeof document !== 'object' || document === null || !('defaultAction' in document)) {
      throw invalidArgument(field, `${path} holds no seccomp profile: "defaultAction" is missing`);
    }
    return document;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) throw invalidArgument(field, `${path} does not exist on the node`);
    if (error instanceof SyntaxError) throw invalidArgument(field, `${path} is no JSON: ${error.message}`);
    throw error;
  }
}
