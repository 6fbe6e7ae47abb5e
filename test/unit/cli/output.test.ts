import test from 'ava';
import { formatJson } from '../../../src/cli/output/json.ts';
import { pathText } from '../../../src/cli/output/path-text.ts';
import { formatTable } from '../../../src/cli/output/table.ts';
import { formatAge, formatBytes, shortId } from '../../../src/cli/output/units.ts';
import { byteCount, cpuCount, keyValue, mountValue, wholeNumber } from '../../../src/cli/values.ts';

test('Tables are aligned and contain no control characters', (t) => {
  t.is(
    formatTable(
      ['A', 'LONG'],
      [
        ['xyz', ''],
        ['1', 'a\u001b[0m\nb'],
      ],
    ),
    'A    LONG\nxyz  -\n1    a\\e[0m\\nb\n',
  );
  t.is(formatTable(['A', 'B'], []), 'A  B\n');
});

test('Tables shrink the widest columns, never ids', (t) => {
  const id = 'a'.repeat(13);
  const table = formatTable(['ID', 'IMAGE', 'NAME'], [[id, 'i'.repeat(40), 'n'.repeat(20)]], 50);
  t.is(table, `ID             IMAGE             NAME\n${id}  ${'i'.repeat(15)}…  ${'n'.repeat(16)}…\n`);
  t.is(formatTable(['ID'], [[id]], 5), `ID\n${id}\n`);
});

test('JSON writes 64-bit numbers and bytes as strings', (t) => {
  t.deepEqual(JSON.parse(formatJson({ n: 2n ** 63n, v: Buffer.from('é'), list: [1n] })), {
    n: '9223372036854775808',
    v: 'é',
    list: ['1'],
  });
});

test('Sizes, ages and ids are short', (t) => {
  t.deepEqual([0n, 1023n, 1536n, 5n * 1024n ** 4n * 2000n].map(formatBytes), [
    '0 B',
    '1023 B',
    '1.5 KiB',
    '10000.0 TiB',
  ]);
  const at = (seconds: number) => formatAge(1_000_000_000_000n, 1_000_000 + seconds * 1000);
  t.deepEqual([at(0), at(59), at(60), at(7200), at(200_000), at(-5)], ['0s', '59s', '1m', '2h', '2d', '0s']);
  t.is(formatAge(0n), '');
  t.is(shortId(`sha256:${'ab'.repeat(32)}`, false), 'abababababaab'.replace('aab', 'aba').slice(0, 13));
});

test('Option values are parsed exactly or refused', (t) => {
  t.deepEqual(
    ['512M', '1.5GiB', '1g', '100', '4kb'].map((text) => byteCount('memory', text)),
    [536_870_912n, 1_610_612_736n, 1_073_741_824n, 100n, 4096n],
  );
  for (const text of ['', 'M', '0', '-1', '1e3', '1P', '9999999T', ' 1'])
    t.throws(() => byteCount('memory', text), { message: /--memory/ });
  t.deepEqual(keyValue('env', 'A=b=c'), ['A', 'b=c']);
  t.deepEqual(mountValue('mount', '/a:/b:ro'), { source: '/a', destination: '/b', readonly: true });
  t.is(mountValue('mount', 'a:/b').source, `${process.cwd()}/a`);
  for (const text of ['/a', '/a:b', '/a:/b:rx', '/a:/b:ro:x', ':/b']) t.throws(() => mountValue('mount', text));
  t.is(cpuCount('cpus', '.5'), 0.5);
  for (const text of ['0', '-1', 'x', '1e9', '']) t.throws(() => cpuCount('cpus', text));
  t.is(wholeNumber('timeout', '7'), 7);
  for (const text of ['1.5', '-1', '', '99999999999999999999']) t.throws(() => wholeNumber('timeout', text));
});

test('Paths are printed without loss', (t) => {
  t.is(pathText(Buffer.from('/caf\u00e9\\\n\u202e \ud83d\ude00')), '/caf\u00e9\\\\\\n\\u202e \ud83d\ude00');
  t.is(pathText(Buffer.from('/\xff\xed\xa0\x80\xc3', 'latin1')), '/\\xff\\xed\\xa0\\x80\\xc3');
});
