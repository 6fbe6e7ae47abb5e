import type { AppArmor } from '../../model/apparmor.ts';
import { failedPrecondition } from '../../model/errors.ts';
import type { ApparmorProfile } from '../../model/security.ts';

/**
 * The AppArmor profile of a container; undefined for none. On a kernel without AppArmor the default profile is none.
 * @throws CriError FAILED_PRECONDITION for a profile that is not loaded, or on a kernel without AppArmor; UNAVAILABLE when
 *   the default profile cannot be loaded.
 */
export async function apparmorProfile(profile: ApparmorProfile, apparmor: AppArmor): Promise<string | undefined> {
  if (profile.type === 'unconfined') return undefined;
  if (profile.type === 'runtime-default') return (await apparmor.enabled()) ? apparmor.defaultProfile() : undefined;
  const { name, field } = profile;
  if (!(await apparmor.enabled())) {
    throw failedPrecondition(`${field}: AppArmor is disabled or not supported by the kernel of this node`);
  }
  if (!(await apparmor.isLoaded(name))) {
    throw failedPrecondition(`${field}: profile ${JSON.stringify(name)} is not loaded; load it with apparmor_parser`);
  }
  return name;
}
