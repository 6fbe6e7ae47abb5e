import { readFile } from 'node:fs/promises';
import { SecurityProfile_ProfileType } from '../../../../api/gen/cri.ts';
import type { LinuxContainerSecurityContext, SecurityProfile } from '../../../../api/gen/cri.ts';
import { invalidArgument, unimplemented } from '../../model/errors.ts';
import { isErrno } from '../../../utils/errors.ts';
import { checkAbsolutePath } from '../checks.ts';
import { defaultSeccompFilter } from './seccomp-default.ts';

const CONTEXT = 'config.linux.security_context';

/**
 * The seccomp filter of `linux.seccomp`: none without a profile or with Unconfined (CRI: nil means unconfined), the OCI
 * document of a Localhost profile, or our own allow list for RuntimeDefault. Privileged containers have none, as with
 * containerd.
 * @param bounding the container's bounding set, which decides what RuntimeDefault allows.
 * @throws CriError INVALID_ARGUMENT for a profile file that cannot be used.
 */
export async function seccompFilter(
  context: LinuxContainerSecurityContext | undefined,
  bounding: readonly string[],
): Promise<object | undefined> {
  const profile = context?.seccomp ?? deprecatedProfile(context?.seccompProfilePath ?? '');
  if (context === undefined || context.privileged || profile === undefined) return undefined;
  if (profile.profileType === SecurityProfile_ProfileType.Unconfined) return undefined;
  if (profile.profileType === SecurityProfile_ProfileType.RuntimeDefault) {
    return defaultSeccompFilter(bounding);
  }
  const field = `${CONTEXT}.seccomp.localhost_ref`;
  checkAbsolutePath(field, profile.localhostRef);
  try {
    const document: unknown = JSON.parse(await readFile(profile.localhostRef, 'utf8'));
    if (typeof document !== 'object' || document === null || !('defaultAction' in document)) {
      throw invalidArgument(field, `${profile.localhostRef} holds no seccomp profile: "defaultAction" is missing`);
    }
    return document;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) throw invalidArgument(field, `${profile.localhostRef} does not exist on the node`);
    if (error instanceof SyntaxError)
      throw invalidArgument(field, `${profile.localhostRef} is no JSON: ${error.message}`);
    throw error;
  }
}

/** CRI seccomp_profile_path, which older kubelets send in place of `seccomp`. */
function deprecatedProfile(path: string): SecurityProfile | undefined {
  const { RuntimeDefault, Unconfined, Localhost } = SecurityProfile_ProfileType;
  if (path === '') return undefined;
  if (path === 'unconfined') return { profileType: Unconfined, localhostRef: '' };
  if (path === 'runtime/default' || path === 'docker/default') return { profileType: RuntimeDefault, localhostRef: '' };
  if (path.startsWith('localhost/')) return { profileType: Localhost, localhostRef: path.slice('localhost/'.length) };
  const known = 'runtime/default, docker/default, unconfined or localhost/<path>';
  throw invalidArgument(`${CONTEXT}.seccomp_profile_path`, `${JSON.stringify(path)} must be ${known}`);
}

/**
 * Refuses the security settings that are not built, so that nobody believes a container confined which is not.
 * @throws CriError UNIMPLEMENTED naming the field.
 */
export function refuseUnbuilt(context: LinuxContainerSecurityContext | undefined): void {
  const selinux = context?.selinuxOptions;
  if (selinux !== undefined && [selinux.user, selinux.role, selinux.type, selinux.level].some((part) => part !== '')) {
    throw unimplemented(`${CONTEXT}.selinux_options: SELinux`);
  }
}
