import test from 'ava';
import fc from 'fast-check';
import { formatLxcConfig } from '../../../src/backends/lxc-config.ts';
import { CriError, StatusCode } from '../../../src/core/model/errors.ts';

const write = (value: string, key = 'lxc.uts.name') => formatLxcConfig([{ key, value, field: 'the field' }]);

const refused: [what: string, value: string][] = [
  ['newline', 'a\nlxc.hook.pre-start = /bin/sh'],
  ['newline at the end', 'a\n'],
  ['carriage return', 'a\rb'],
  ['NUL', 'a\0b'],
  ['escape', 'a\x1b[2Jb'],
  ['delete', 'a\x7fb'],
  ['half a surrogate pair', 'a\ud800b'],
  ['nothing', ''],
  ['more than 64 KiB', 'a'.repeat(65_537)],
];
for (const [what, value] of refused) {
  test(`a value with ${what} is refused, naming the field`, (t) => {
    const error = t.throws(() => write(value), { instanceOf: CriError });
    t.is(error?.code, StatusCode.INVALID_ARGUMENT);
    t.true(error?.message.startsWith('the field: '));
  });
}

const kept: [what: string, value: string][] = [
  ['double quotes around it', '"a"'],
  ['single quotes around it', "'a'"],
  ['one quote', '"'],
  ['different quotes at its ends', '"a\''],
  ['blanks around it', '  a\t'],
  ['a tab inside', '2000\t3000'],
  ['nothing but a blank', ' '],
  ['a comment sign', '#a # b'],
  ['an equals sign', '= b = c'],
  ['backslashes', '\\n\\\\ a\\'],
  ['the look of an option', '--help'],
  ['a shell command', '$(id); `id` | id'],
  ['Unicode line separators', 'a\u2028b\u2029c\u0085d'],
  ['64 KiB', 'a'.repeat(65_536)],
];
for (const [what, value] of kept) {
  test(`a value with ${what} is passed unchanged`, (t) => {
    const text = write(value);
    t.is(text.indexOf('\n'), text.length - 1);
    t.deepEqual(parseLxcConfig(text), [{ key: 'lxc.uts.name', value }]);
  });
}

test('invalid LXC keys are refused', (t) => {
  for (const key of ['', 'lxc', 'lxc.', 'uts.name', 'lxc.a\nlxc.b', 'lxc.a b', 'lxc.a=', '#lxc.a', 'lxc.A', 'lxc..a']) {
    t.throws(() => write('a', key), { instanceOf: CriError }, key);
  }
});

test('no value adds another line', (t) => {
  const nasty = fc.string({
    unit: fc.constantFrom('\n', '\r', '\0', '"', "'", ' ', '\t', '#', '=', '\\', 'lxc.', 'a', '\u2028'),
  });
  const values = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme' }), nasty);
  const key = fc.constantFrom('lxc.uts.name', 'lxc.sysctl.kernel.sem', 'lxc.net.0.type');
  fc.assert(
    fc.property(fc.array(fc.record({ key, value: values, field: fc.constant('f') }), { maxLength: 5 }), (settings) => {
      let text: string;
      try {
        text = formatLxcConfig(settings);
      } catch (error) {
        return error instanceof CriError && error.code === StatusCode.INVALID_ARGUMENT;
      }
      t.deepEqual(
        parseLxcConfig(text),
        settings.map(({ key, value }) => ({ key, value })),
      );
      return true;
    }),
    { numRuns: 3000 },
  );
  t.pass();
});

/** Reads such a file like liblxc: drops comments and empty lines, trims blanks, removes one pair of quotes. */
function parseLxcConfig(text: string): { key: string; value: string }[] {
  const settings: { key: string; value: string }[] = [];
  for (const raw of text.split('\n')) {
    const line = raw.replace(/^[ \t]+/, '');
    const equals = line.indexOf('=');
    if (line === '' || line.startsWith('#') || equals < 0) continue;
    const key = line.slice(0, equals).replace(/[ \t]+$/, '');
    let value = line.slice(equals + 1).replace(/^[ \t]+|[ \t]+$/g, '');
    const first = value[0];
    if (value.length > 1 && (first === '"' || first === "'") && value.endsWith(first)) value = value.slice(1, -1);
    settings.push({ key, value });
  }
  return settings;
}
