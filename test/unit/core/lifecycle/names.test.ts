import test from 'ava';
import { findById, lookupById, newId } from '../../../../src/core/lifecycle/ids.ts';
import { NameRegistry } from '../../../../src/core/lifecycle/names.ts';

test('an id is found by its unique prefix', (t) => {
  const objects = ['abc1', 'abd2', 'abd22'].map((id) => ({ id }));
  t.is(findById('container', objects, 'abc').id, 'abc1');
  t.is(findById('container', objects, 'abd2').id, 'abd2');
  t.throws(() => findById('container', objects, 'ab'), { message: /is ambiguous/ });
  t.throws(() => findById('container', objects, ''), { message: /must not be empty/ });
  t.throws(() => findById('container', objects, 'zz'), { message: 'container "zz" not found' });
  t.is(lookupById('container', objects, 'zz'), undefined);
  t.regex(newId(), /^[0-9a-f]{64}$/);
});

test('a name belongs to one id until its release', (t) => {
  const names = new NameRegistry('container');
  names.reserve('web', '1');
  names.reserve('web', '1');
  t.throws(
    () => {
      names.reserve('web', '2');
    },
    { message: /belongs to container 1/ },
  );
  names.release('1');
  names.reserve('web', '2');
  t.is(names.owner('web'), '2');
});

test('two records with one name do not prevent startup', (t) => {
  const names = new NameRegistry('pod sandbox');
  names.restore('a', '1');
  names.restore('a', '2');
  t.is(names.owner('a'), '1');
  names.release('2');
  t.is(names.owner('a'), '1');
});
