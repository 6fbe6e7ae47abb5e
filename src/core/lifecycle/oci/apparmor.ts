import { SecurityProfile_ProfileType } from '../../../../api/gen/cri.ts';
import type { LinuxContainerSecurityContext, SecurityProfile } from '../../../../api/gen/cri.ts';
import type { AppArmor } from '../../model/apparmor.ts';
import { failedPrecondition, invalidArgument } from '../../model/errors.ts';

const CONTEXT = 'config.linux.security_context';
const LOCAL = 'localhost/';

/**
 * The AppArmor profile of a container; undefined for none. `apparmor` wins over the older `apparmor_profile`, privileged over
 * both (CRI LinuxContainerSecurityContext.privileged). Who names no profile gets the default one, as Kubernetes documents;
 * on a kernel without AppArmor none.
 * @throws CriError INVALID_ARGUMENT for a malformed profile, FAILED_PRECONDITION for a Localhost one that is not loaded or on
 *   a kernel without AppArmor, UNAVAILABLE when the default profile cannot be loaded.
 */
export async function apparmorProfile(
  context: LinuxContainerSecurityContext | undefined,
  apparmor: AppArmor,
): Promise<string | undefined> {
  if (context?.privileged) return undefined;
  const asked = context?.apparmor ?? olderProfile(context?.apparmorProfile ?? '');
  switch (asked.profileType) {
    case SecurityProfile_ProfileType.Unconfined:
      return undefined;
    case SecurityProfile_ProfileType.RuntimeDefault:
      return (await apparmor.enabled()) ? apparmor.defaultProfile() : undefined;
    case SecurityProfile_ProfileType.Localhost: {
      const field = context?.apparmor === undefined ? 'apparmor_profile' : 'apparmor.localhost_ref';
      return localProfile(asked.localhostRef, `${CONTEXT}.${field}`, apparmor);
    }
    default:
      throw invalidArgument(`${CONTEXT}.apparmor.profile_type`, 'must be RuntimeDefault, Unconfined or Localhost');
  }
}

async function localProfile(reference: string, field: string, apparmor: AppArmor): Promise<string> {
  const name = reference.startsWith(LOCAL) ? reference.slice(LOCAL.length) : reference;
  if (!/^[^\0\n]+$/.test(name)) throw invalidArgument(field, 'must name a profile');
  if (!(await apparmor.enabled())) {
    throw failedPrecondition(`${field}: the kernel of this node has no AppArmor, or it is switched off`);
  }
  if (!(await apparmor.isLoaded(name))) {
    throw failedPrecondition(`${field}: no profile ${JSON.stringify(name)} is loaded: load it with apparmor_parser`);
  }
  return name;
}

/** CRI apparmor_profile, which older kubelets send in place of `apparmor`. */
function olderProfile(text: string): SecurityProfile {
  const { RuntimeDefault, Unconfined, Localhost } = SecurityProfile_ProfileType;
  if (text === '' || text === 'runtime/default') return { profileType: RuntimeDefault, localhostRef: '' };
  if (text === 'unconfined') return { profileType: Unconfined, localhostRef: '' };
  if (text.startsWith(LOCAL)) return { profileType: Localhost, localhostRef: text };
  const known = 'runtime/default, unconfined or localhost/<name>';
  throw invalidArgument(`${CONTEXT}.apparmor_profile`, `${JSON.stringify(text)} must be ${known}`);
}
