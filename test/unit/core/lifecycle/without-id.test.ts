import test from 'ava';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';
import { withoutId } from '../../../../src/core/lifecycle/without-id.ts';

test('errors of two attempts have the same text', (t) => {
  const [one, two] = ['a'.repeat(64), 'b'.repeat(64)];
  const failure = (id: string) =>
    withoutId(new CriError(StatusCode.UNKNOWN, `/run/${id}/bundle: crun: cannot create ${id}`), id) as CriError;
  t.is(failure(one).message, failure(two).message);
  t.is(failure(one).code, StatusCode.UNKNOWN);
  const other = new Error(one);
  t.is(withoutId(other, one), other);
});
