import test from 'ava';
import { LinuxContainerSecurityContext } from '../../../../api/gen/cri.ts';
import { apparmorProfile } from '../../../../src/core/lifecycle/oci/apparmor.ts';
import type { AppArmor } from '../../../../src/core/model/apparmor.ts';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';
import { containerSecurity } from '../../../../src/cri/map/security.ts';

type Context = Parameters<typeof LinuxContainerSecurityContext.create>[0];

const kernel = (more: Partial<AppArmor> = {}): AppArmor => ({
  enabled: () => Promise.resolve(true),
  defaultProfile: () => Promise.resolve('the-default'),
  isLoaded: (name) => Promise.resolve(name === 'loaded' || name === 'localhost'),
  ...more,
});
const without = kernel({ enabled: () => Promise.resolve(false) });
const [RuntimeDefault, Unconfined, Localhost] = [0, 1, 2] as const;
const local = (localhostRef: string) => ({ profileType: Localhost, localhostRef });

const profile = async (context: Context | undefined, machine = kernel()) =>
  apparmorProfile(containerSecurity(context && LinuxContainerSecurityContext.create(context)).apparmor, machine);

const given: [what: string, context: Context | undefined, profile: string | undefined][] = [
  ['nothing at all', undefined, 'the-default'],
  ['no profile', {}, 'the-default'],
  ['RuntimeDefault', { apparmor: { profileType: RuntimeDefault } }, 'the-default'],
  ['Unconfined', { apparmor: { profileType: Unconfined } }, undefined],
  ['Localhost', { apparmor: local('loaded') }, 'loaded'],
  ['Localhost with the older prefix', { apparmor: local('localhost/loaded') }, 'loaded'],
  ['a profile that is called localhost', { apparmor: local('localhost') }, 'localhost'],
  ['runtime/default', { apparmorProfile: 'runtime/default' }, 'the-default'],
  ['unconfined', { apparmorProfile: 'unconfined' }, undefined],
  ['localhost/', { apparmorProfile: 'localhost/loaded' }, 'loaded'],
  ['both fields', { apparmor: local('loaded'), apparmorProfile: 'localhost/absent' }, 'loaded'],
  ['both fields, one Unconfined', { apparmor: { profileType: Unconfined }, apparmorProfile: 'x' }, undefined],
  ['a profile when privileged', { privileged: true, apparmor: local('absent') }, undefined],
  ['no profile when privileged', { privileged: true }, undefined],
];
for (const [what, context, expected] of given) {
  test(`AppArmor: ${what}`, async (t) => {
    t.is(await profile(context), expected);
  });
}

const refused: [context: Context, machine: AppArmor, code: StatusCode, message: RegExp][] = [
  [
    { apparmor: local('absent') },
    kernel(),
    StatusCode.FAILED_PRECONDITION,
    /apparmor\.localhost_ref: profile "absent" is not loaded/,
  ],
  [
    { apparmorProfile: 'localhost/absent' },
    kernel(),
    StatusCode.FAILED_PRECONDITION,
    /apparmor_profile: profile "absent" is not loaded/,
  ],
  [{ apparmor: local('loaded') }, without, StatusCode.FAILED_PRECONDITION, /AppArmor is disabled or not supported/],
  [{ apparmor: local('') }, kernel(), StatusCode.INVALID_ARGUMENT, /must name a profile/],
  [{ apparmor: local('a\nb') }, kernel(), StatusCode.INVALID_ARGUMENT, /must name a profile/],
  [
    { apparmorProfile: 'docker-default' },
    kernel(),
    StatusCode.INVALID_ARGUMENT,
    /"docker-default" must be runtime\/default/,
  ],
  [{ apparmor: { profileType: 7 as 0 } }, kernel(), StatusCode.INVALID_ARGUMENT, /profile_type: must be/],
];
for (const [context, machine, code, message] of refused) {
  test(`AppArmor is refused: ${JSON.stringify(context)}`, async (t) => {
    const error = await t.throwsAsync(profile(context, machine), { instanceOf: CriError, message });
    t.is(error?.code, code);
  });
}

test('without AppArmor in the kernel, containers run unconfined', async (t) => {
  t.is(await profile({}, without), undefined);
  t.is(await profile({ apparmor: { profileType: RuntimeDefault } }, without), undefined);
  t.is(await profile({}, kernel({ defaultProfile: () => Promise.resolve(undefined) })), undefined);
});
