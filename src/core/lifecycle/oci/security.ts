import { isTooDeep, MAX_NESTING } from '../../../utils/json.ts';
import { invalidArgument } from '../../model/errors.ts';
import type { PlatformFiles } from '../../model/platform-files.ts';
import type { SeccompProfile } from '../../model/security.ts';
import { defaultSeccompFilter } from './seccomp-default.ts';

/** Maximum bytes of a seccomp profile; the largest known ones have about 20 KiB. */
const PROFILE_BYTES = 4 * 1024 * 1024;

/**
 * The seccomp filter of `linux.seccomp`: none, the OCI document of a file, or the default allow list.
 * @param bounding the container's bounding set, on which the allow list depends.
 * @throws CriError INVALID_ARGUMENT for an invalid profile file.
 */
export async function seccompFilter(
  files: Pick<PlatformFiles, 'read'>,
  profile: SeccompProfile,
  bounding: readonly string[],
): Promise<object | undefined> {
  if (profile.type === 'unconfined') return undefined;
  if (profile.type === 'runtime-default') return defaultSeccompFilter(bounding);
  const { path } = profile;
  const field = 'config.linux.security_context.seccomp.localhost_ref';
  const text = await files.read(path, PROFILE_BYTES);
  if (text === undefined) throw invalidArgument(field, `${path} does not exist on the node`);
  try {
    const document: unknown = JSON.parse(text.toString('utf8'));
    if (typeof document !== 'object' || document === null || !('defaultAction' in document)) {
      throw invalidArgument(field, `${path} is not a seccomp profile: "defaultAction" is missing`);
    }
    if (isTooDeep(document)) throw invalidArgument(field, `${path} is nested deeper than ${MAX_NESTING} levels`);
    return document;
  } catch (error) {
    if (error instanceof SyntaxError) throw invalidArgument(field, `${path} is not valid JSON: ${error.message}`);
    throw error;
  }
}
