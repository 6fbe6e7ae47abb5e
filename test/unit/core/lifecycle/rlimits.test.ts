import test from 'ava';
import fc from 'fast-check';
import { ociJson, parseOciJson } from '../../../../src/backends/conmon/oci-json.ts';
import { containerRlimits, unattainable } from '../../../../src/core/lifecycle/oci/rlimits.ts';
import { RLIMIT_HEADINGS, parseUlimit } from '../../../../src/core/model/rlimits.ts';

test('an rlimit is NAME=SOFT[:HARD]', (t) => {
  t.deepEqual(parseUlimit('nofile=1024:65536'), { type: 'RLIMIT_NOFILE', soft: 1024, hard: 65_536 });
  t.deepEqual(parseUlimit('core=0'), { type: 'RLIMIT_CORE', soft: 0, hard: 0 });
  t.deepEqual(parseUlimit('memlock=unlimited'), { type: 'RLIMIT_MEMLOCK', soft: Infinity, hard: Infinity });
  t.deepEqual(parseUlimit('stack=8192:-1'), { type: 'RLIMIT_STACK', soft: 8192, hard: Infinity });
  for (const bad of ['', 'nofile', 'nofile=', 'nofile=1:', 'nofile=2:1', 'nofile=unlimited:1', 'NOFILE=1', 'files=1']) {
    t.is(parseUlimit(bad), undefined, bad);
  }
  for (const bad of [
    'nofile=-2',
    'nofile=1.5',
    'nofile=1e3',
    'nofile=1:2:3',
    'nofile= 1',
    'toString=1',
    'nofile=1\n',
  ]) {
    t.is(parseUlimit(bad), undefined, bad);
  }
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.constantFrom(...Object.keys(RLIMIT_HEADINGS)).map((name) => `${name}=1`),
      ),
      (text) => {
        const limit = parseUlimit(text);
        return limit === undefined || (limit.soft <= limit.hard && limit.soft >= 0);
      },
    ),
  );
});

test("rlimits of containers stay within the server's", (t) => {
  const own = new Map([
    ['RLIMIT_NOFILE', 20_000],
    ['RLIMIT_CORE', Infinity],
  ]);
  const limits = (...texts: string[]) =>
    containerRlimits(
      texts.map((text) => parseUlimit(text)!),
      own,
    );
  t.deepEqual(limits(), [{ type: 'RLIMIT_NOFILE', soft: 1024, hard: 20_000 }]);
  t.deepEqual(limits('core=0:unlimited', 'nofile=30000:unlimited'), [
    { type: 'RLIMIT_CORE', soft: 0, hard: Infinity },
    { type: 'RLIMIT_NOFILE', soft: 20_000, hard: 20_000 },
  ]);
  t.deepEqual(containerRlimits([], new Map([['RLIMIT_NOFILE', 512]])), [
    { type: 'RLIMIT_NOFILE', soft: 512, hard: 512 },
  ]);
  t.deepEqual(unattainable([parseUlimit('nofile=20000')!, parseUlimit('core=unlimited')!], own), []);
  t.deepEqual(unattainable([parseUlimit('nofile=1:20001')!], own), ["RLIMIT_NOFILE 20001 is above the server's 20000"]);
});

test('infinity is the largest 64-bit number in JSON', (t) => {
  const value = { a: [Infinity, 0, -1, 2 ** 53], b: 'Infinity' };
  t.is(ociJson(value), '{"a":[18446744073709551615,0,-1,9007199254740992],"b":"Infinity"}');
  t.deepEqual(parseOciJson(ociJson(value)), value);
});
