import test from 'ava';
import fc from 'fast-check';
import { formatReference, parseReference } from '../../../../../src/core/lifecycle/images/reference.ts';
import { CriError, StatusCode } from '../../../../../src/core/model/errors.ts';

const D = `sha256:${'0123456789abcdef'.repeat(4)}`;

for (const [text, canonical] of [
  ['busybox', 'docker.io/library/busybox:latest'],
  ['busybox:1.36', 'docker.io/library/busybox:1.36'],
  ['bitnami/redis', 'docker.io/bitnami/redis:latest'],
  ['index.docker.io/busybox', 'docker.io/library/busybox:latest'],
  ['docker.io/busybox', 'docker.io/library/busybox:latest'],
  ['registry.k8s.io/pause:3.9', 'registry.k8s.io/pause:3.9'],
  ['localhost/app', 'localhost/app:latest'],
  ['localhost:5000/app:v1', 'localhost:5000/app:v1'],
  ['host:5000/a/b/c', 'host:5000/a/b/c:latest'],
  ['[::1]:5000/app', '[::1]:5000/app:latest'],
  ['UPPER/app', 'UPPER/app:latest'],
  ['Registry.K8s.IO/pause:3.9', 'registry.k8s.io/pause:3.9'],
  ['INDEX.Docker.io/busybox', 'docker.io/library/busybox:latest'],
  ['LocalHost/app', 'localhost/app:latest'],
  ['HOST:5000/app', 'host:5000/app:latest'],
  [`busybox@${D}`, `docker.io/library/busybox@${D}`],
  [`busybox:1.36@${D}`, `docker.io/library/busybox@${D}`],
  ['a.b/c__d/e--f:T.a-g_1', 'a.b/c__d/e--f:T.a-g_1'],
] as const) {
  test(`${text} is ${canonical}`, (t) => {
    t.is(formatReference(parseReference(text)), canonical);
  });
}

for (const text of [
  '',
  'Busybox',
  'a:b:c/d',
  'busybox:',
  'busybox:-x',
  `busybox:${'x'.repeat(129)}`,
  'busybox@sha256:12',
  `busybox@sha512:${'0'.repeat(128)}`,
  `busybox@${D.toUpperCase()}`,
  'a//b',
  '/busybox',
  'busybox/',
  '-busybox',
  'a..b',
  'a___b',
  'a/../b',
  'host:99999999/app',
  'host:65536/app',
  'A.0/app',
  'host.300/app',
  'ho st.io/app',
  'app\n',
  'app?x',
  'user:pw@host.io/app',
  '0'.repeat(64),
  `host.io/${'a'.repeat(300)}`,
]) {
  test(`${JSON.stringify(text.slice(0, 40))} is refused, naming the field`, (t) => {
    const error = t.throws(() => parseReference(text), { instanceOf: CriError });
    t.is(error?.code, StatusCode.INVALID_ARGUMENT);
    t.regex(error?.message ?? '', /^image\.image: /);
  });
}

test('the error about a long registry host stays short', (t) => {
  t.throws(() => parseReference(`${'h.'.repeat(1e5)}/app`), { message: /^.{1,800}$/ });
});

test('the default registry is configurable', (t) => {
  t.is(formatReference(parseReference('busybox', { defaultRegistry: 'quay.io' })), 'quay.io/busybox:latest');
});

test('an accepted reference is stable and safe in URLs', (t) => {
  const piece = fc.oneof(
    fc.constantFrom('a', 'B', '0', '.', '-', '_', '/', ':', '@', '..', D, 'localhost', '%2e', '?', '#', ' '),
    fc.string({ maxLength: 3 }),
  );
  let accepted = 0;
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 10 }).map((parts) => parts.join('')),
      (text) => {
        let parsed;
        try {
          parsed = parseReference(text);
        } catch (error) {
          return error instanceof CriError && error.code === StatusCode.INVALID_ARGUMENT;
        }
        accepted++;
        const canonical = formatReference(parsed);
        const url = new URL(
          `https://${parsed.registry}/v2/${parsed.repository}/manifests/${parsed.digest ?? parsed.tag ?? ''}`,
        );
        return (
          formatReference(parseReference(canonical)) === canonical &&
          url.pathname === `/v2/${parsed.repository}/manifests/${parsed.digest ?? parsed.tag ?? ''}` &&
          !url.username &&
          url.search === ''
        );
      },
    ),
    { numRuns: 5000 },
  );
  t.true(accepted > 100);
});
