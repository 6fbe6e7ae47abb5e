import { SecurityProfile_ProfileType, SupplementalGroupsPolicy } from '../../../api/gen/cri.ts';
import type { LinuxContainerSecurityContext, SELinuxOption, SecurityProfile } from '../../../api/gen/cri.ts';
import { checkAbsolutePath, checkLine } from '../../core/lifecycle/checks.ts';
import { invalidArgument } from '../../core/model/errors.ts';
import type {
  ApparmorProfile,
  ContainerSecurity,
  SeccompProfile,
  SelinuxLabel,
  UserChoice,
} from '../../core/model/security.ts';
import { defined } from '../../utils/object.ts';
import { capabilityChange } from './capabilities.ts';

const CONTEXT = 'config.linux.security_context';
const LOCAL = 'localhost/';
const MAX_ID = 4_294_967_294n;

/**
 * The privileges and ids of a container's processes. Without a security context there is no seccomp filter (CRI: nil means
 * unconfined), and the AppArmor profile is the default one, as Kubernetes documents.
 * @throws CriError INVALID_ARGUMENT naming the field.
 */
export function containerSecurity(context: LinuxContainerSecurityContext | undefined): ContainerSecurity {
  const paths = (key: 'maskedPaths' | 'readonlyPaths', name: string) =>
    (context?.[key] ?? []).map((path, index) => {
      checkAbsolutePath(`${CONTEXT}.${name}[${String(index)}]`, path);
      return path;
    });
  return {
    privileged: context?.privileged ?? false,
    readonlyRootfs: context?.readonlyRootfs ?? false,
    noNewPrivileges: context?.noNewPrivs ?? false,
    user: userChoice(context),
    capabilities: capabilityChange(context?.capabilities),
    seccomp: seccompProfile(context),
    apparmor: apparmorProfile(context),
    maskedPaths: paths('maskedPaths', 'masked_paths'),
    readonlyPaths: paths('readonlyPaths', 'readonly_paths'),
    ...defined({ selinux: selinuxLabel(context?.selinuxOptions) }),
  };
}

/** The requested SELinux label; undefined when all parts are empty. */
export function selinuxLabel(options: SELinuxOption | undefined): SelinuxLabel | undefined {
  if (options === undefined) return undefined;
  const { user, role, type, level } = options;
  for (const [key, part] of Object.entries({ user, role, type, level })) {
    checkLine(`${CONTEXT}.selinux_options.${key}`, part);
  }
  return user + role + type + level === '' ? undefined : { user, role, type, level };
}

/** run_as_user overrides run_as_username; CRI excludes both together. */
function userChoice(context: LinuxContainerSecurityContext | undefined): UserChoice {
  if (context === undefined) return { supplementalGroups: [], mergeImageGroups: true };
  const { runAsUser, runAsUsername, runAsGroup, supplementalGroups, supplementalGroupsPolicy: policy } = context;
  const user =
    runAsUser !== undefined
      ? { uid: toId(`${CONTEXT}.run_as_user`, runAsUser.value) }
      : runAsUsername === ''
        ? undefined
        : { name: runAsUsername };
  if (runAsGroup !== undefined && user === undefined) {
    throw invalidArgument(`${CONTEXT}.run_as_group`, 'requires run_as_user or run_as_username');
  }
  const policies: readonly number[] = [SupplementalGroupsPolicy.Merge, SupplementalGroupsPolicy.Strict];
  if (!policies.includes(policy)) {
    throw invalidArgument(`${CONTEXT}.supplemental_groups_policy`, 'must be Merge or Strict');
  }
  return {
    supplementalGroups: supplementalGroups.map((id) => toId(`${CONTEXT}.supplemental_groups`, id)),
    mergeImageGroups: policy === SupplementalGroupsPolicy.Merge,
    ...defined({ user, gid: runAsGroup && toId(`${CONTEXT}.run_as_group`, runAsGroup.value) }),
  };
}

function toId(field: string, id: bigint): number {
  if (id < 0n || id > MAX_ID)
    throw invalidArgument(field, `${id.toString()} is not an id from 0 to ${MAX_ID.toString()}`);
  return Number(id);
}

/** `seccomp`, or the older `seccomp_profile_path` when it is absent. */
function seccompProfile(context: LinuxContainerSecurityContext | undefined): SeccompProfile {
  // As in containerd, a privileged container has none.
  if (context?.privileged) return { type: 'unconfined' };
  const old = context?.seccompProfilePath ?? '';
  const profile = context?.seccomp ?? olderSeccomp(old);
  const field = context?.seccomp === undefined ? 'seccomp_profile_path' : 'seccomp.localhost_ref';
  switch (profile.profileType) {
    case SecurityProfile_ProfileType.Unconfined:
      return { type: 'unconfined' };
    case SecurityProfile_ProfileType.RuntimeDefault:
      return { type: 'runtime-default' };
    case SecurityProfile_ProfileType.Localhost:
      checkAbsolutePath(`${CONTEXT}.${field}`, profile.localhostRef);
      return { type: 'file', path: profile.localhostRef };
    default:
      throw invalidArgument(`${CONTEXT}.seccomp.profile_type`, 'must be RuntimeDefault, Unconfined or Localhost');
  }
}

/** CRI seccomp_profile_path, which older kubelets send instead of `seccomp`. */
function olderSeccomp(text: string): SecurityProfile {
  const { RuntimeDefault, Unconfined, Localhost } = SecurityProfile_ProfileType;
  if (text === '' || text === 'unconfined') return { profileType: Unconfined, localhostRef: '' };
  if (text === 'runtime/default' || text === 'docker/default') return { profileType: RuntimeDefault, localhostRef: '' };
  if (text.startsWith(LOCAL)) return { profileType: Localhost, localhostRef: text.slice(LOCAL.length) };
  const known = 'runtime/default, docker/default, unconfined or localhost/<path>';
  throw invalidArgument(`${CONTEXT}.seccomp_profile_path`, `${JSON.stringify(text)} must be ${known}`);
}

/** `apparmor`, or the older `apparmor_profile` when it is absent. */
function apparmorProfile(context: LinuxContainerSecurityContext | undefined): ApparmorProfile {
  // A privileged container has no profile (CRI LinuxContainerSecurityContext.privileged).
  if (context?.privileged) return { type: 'unconfined' };
  const profile = context?.apparmor ?? olderApparmor(context?.apparmorProfile ?? '');
  switch (profile.profileType) {
    case SecurityProfile_ProfileType.Unconfined:
      return { type: 'unconfined' };
    case SecurityProfile_ProfileType.RuntimeDefault:
      return { type: 'runtime-default' };
    case SecurityProfile_ProfileType.Localhost: {
      const { localhostRef } = profile;
      const field = `${CONTEXT}.${context?.apparmor === undefined ? 'apparmor_profile' : 'apparmor.localhost_ref'}`;
      const name = localhostRef.startsWith(LOCAL) ? localhostRef.slice(LOCAL.length) : localhostRef;
      if (!/^[^\0\n]+$/.test(name)) throw invalidArgument(field, 'must name a profile');
      return { type: 'loaded', name, field };
    }
    default:
      throw invalidArgument(`${CONTEXT}.apparmor.profile_type`, 'must be RuntimeDefault, Unconfined or Localhost');
  }
}

/** CRI apparmor_profile, which older kubelets send instead of `apparmor`. */
function olderApparmor(text: string): SecurityProfile {
  const { RuntimeDefault, Unconfined, Localhost } = SecurityProfile_ProfileType;
  if (text === '' || text === 'runtime/default') return { profileType: RuntimeDefault, localhostRef: '' };
  if (text === 'unconfined') return { profileType: Unconfined, localhostRef: '' };
  if (text.startsWith(LOCAL)) return { profileType: Localhost, localhostRef: text };
  const known = 'runtime/default, unconfined or localhost/<name>';
  throw invalidArgument(`${CONTEXT}.apparmor_profile`, `${JSON.stringify(text)} must be ${known}`);
}
