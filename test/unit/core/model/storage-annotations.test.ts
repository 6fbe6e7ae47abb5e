import test from 'ava';
import fc from 'fast-check';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';
import { parseQuantity } from '../../../../src/core/model/quantity.ts';
import { annotatedSize, checkStorageAnnotations } from '../../../../src/core/model/storage-annotations.ts';

const QUOTA = 'proxmox-lxcri.io/rootfs-quota';

test('quantities are those of Kubernetes', (t) => {
  for (const [text, value] of [
    ['0', 0n],
    ['4096', 4096n],
    ['10Gi', 10n * 2n ** 30n],
    ['1.5Ki', 1536n],
    ['1.0001k', 1001n],
    ['7Ei', 7n * 2n ** 60n],
    ['9223372036854775807', 2n ** 63n - 1n],
  ] as const) {
    t.is(parseQuantity(text), value, text);
  }
  for (const bad of ['', '1m', '1e3', '-1', '+1', '1 G', '1gi', '1KI', '.5', '5.', '0x1', '8Ei', '9223372036854775808'])
    t.is(parseQuantity(bad), undefined, bad);
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }), (value) => {
      t.is(parseQuantity(String(value)), value);
    }),
  );
});

test('an annotation has a size for all, and some by name', (t) => {
  const of = (text: string, name: string) => annotatedSize({ [QUOTA]: text }, QUOTA, name);
  t.is(annotatedSize({}, QUOTA, 'db'), undefined);
  t.is(of('1Ki', 'db'), 1024n);
  t.deepEqual(
    ['db', 'web'].map((name) => of(' 1Ki , db = 2Ki', name)),
    [2048n, 1024n],
  );
  t.deepEqual(
    ['db', 'web'].map((name) => of('db=0', name)),
    [0n, undefined],
  );
  t.is(of('db=0', 'constructor'), undefined);
});

test('a bad annotation is named', (t) => {
  for (const bad of ['', ',', '1Ki,', 'much', 'db=', '=1', 'a=b=1', 'a b=1', '1,2', 'a=1,a=2', '1Ki;2Ki']) {
    const error = t.throws(
      () => {
        checkStorageAnnotations({ [QUOTA]: bad });
      },
      { instanceOf: CriError },
      bad,
    );
    t.is(error.code, StatusCode.INVALID_ARGUMENT);
    t.true(error.message.startsWith(`config.annotations["${QUOTA}"]: `), error.message);
  }
});
