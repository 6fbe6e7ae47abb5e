import test from 'ava';
import { ociJson } from '../../../../src/backends/conmon/oci-json.ts';
import { seccompFilter } from '../../../../src/core/lifecycle/oci/security.ts';
import { StatusCode } from '../../../../src/core/model/errors.ts';

const profile = (levels: number) => {
  const read = () => Promise.resolve(Buffer.from(`{"defaultAction":${'['.repeat(levels)}${']'.repeat(levels)}}`));
  return seccompFilter({ read }, { type: 'file', path: '/profile.json' }, []);
};

test('A seccomp profile that is accepted can be written', async (t) => {
  t.regex(ociJson((await profile(99)) ?? {}), /^\{"defaultAction":\[{99}\]{99}\}$/);
  for (const levels of [100, 5000, 500_000]) {
    await t.throwsAsync(profile(levels), {
      code: StatusCode.INVALID_ARGUMENT,
      message: 'config.linux.security_context.seccomp.localhost_ref: /profile.json is nested deeper than 100 levels',
    } as object);
  }
});
