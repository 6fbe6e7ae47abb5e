import test from 'ava';
import { StatusCode } from '../../../../src/core/model/errors.ts';
import {
  assignment,
  checkDataset,
  checkPool,
  checkProperty,
  checkSnapshot,
  pathTo,
  poolOf,
} from '../../../../src/integrations/zfs/names.ts';

const refused = { code: StatusCode.INVALID_ARGUMENT };

test('names that ZFS takes are accepted', (t) => {
  for (const name of ['tank', 'rpool/data/subvol-100-disk-0', 'a/B.c_d:e-f g', `t/${'x'.repeat(253)}`]) {
    t.is(checkDataset(name), name);
  }
  t.is(checkSnapshot('tank/a@2026-11-30 x:y'), 'tank/a@2026-11-30 x:y');
  t.is(checkPool('rpool'), 'rpool');
  t.is(checkProperty('proxmox-lxcri:pod'), 'proxmox-lxcri:pod');
  t.deepEqual([poolOf('a/b@c'), poolOf('a'), pathTo('a/b/c')], ['a', 'a', ['a', 'a/b', 'a/b/c']]);
});

test('names that ZFS refuses reach no program', (t) => {
  const datasets = [
    ...[
      '',
      '/a',
      'a/',
      'a//b',
      '-r',
      '1a',
      '.',
      'a/.',
      'a/..',
      'a/../b',
      'a@b',
      'a#b',
      'a/b%c',
      'a/ü',
      'a/b\n',
      'a/\0',
    ],
    ...['mirror', 'raidz/a', 'a/$(id)', "a/'", `a/${'x'.repeat(254)}`, Array(51).fill('a').join('/'), '-o x=y', 'a,b'],
  ];
  for (const name of datasets) t.throws(() => checkDataset(name), refused, JSON.stringify(name));
  for (const name of ['a', 'a@', '@b', 'a@b@c', 'a@b/c', 'a@b,c', 'a@b%c', '-d@x']) {
    t.throws(() => checkSnapshot(name), refused, name);
  }
  for (const name of ['a/b', '-f', 'log', '']) t.throws(() => checkPool(name), refused, name);
  for (const name of ['', '-o', 'A:b', 'a b', 'a=b', 'a,b', ':a', 'a@', 'a@b', '@0', 'ü:a', `a${'b'.repeat(255)}`]) {
    t.throws(() => checkProperty(name), refused, name);
  }
});

test('values that a listing cannot hold are refused', (t) => {
  t.is(assignment('a:b', 'x=y, -z "ü"'), 'a:b=x=y, -z "ü"');
  t.is(assignment('a:b', 'x'.repeat(8191)).length, 8195);
  for (const value of ['a\nb', 'a\tb', '\0', '\x7f', 'x'.repeat(8192), 'ü'.repeat(4096)]) {
    t.throws(() => assignment('a:b', value), refused, JSON.stringify(value.slice(0, 9)));
  }
});
