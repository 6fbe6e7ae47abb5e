import test from 'ava';
import fc from 'fast-check';
import { readJson } from '../../../../src/integrations/zfs/answers/json.ts';
import { readLines } from '../../../../src/integrations/zfs/answers/lines.ts';
import { numberOf, ownValueOf, valueOf } from '../../../../src/integrations/zfs/answers/properties.ts';
import { isAtLeast, readVersions } from '../../../../src/integrations/zfs/answers/version.ts';

const bad = { name: 'ZfsError', message: /unexpected output|no JSON|cut off/ };

/** As OpenZFS 2.4.4 prints the same two objects. */
const JSON_OUTPUT =
  '{"output_version":{"command":"zfs get","vers_major":0,"vers_minor":1},"datasets":{"p/a":{"name":"p/a","type":' +
  '"FILESYSTEM","pool":"p","createtxg":"9","properties":{"used":{"value":"24576","source":{"type":"NONE","data":"-"}},' +
  '"u:v":{"value":"tab\\tnl\\np/x\\tused","source":{"type":"LOCAL","data":"-"}},"origin":{"value":"-","source":{"type":' +
  '"NONE","data":"-"}}}},"p/a@1":{"name":"p/a@1","type":"SNAPSHOT","pool":"p","createtxg":"10","dataset":"p/a",' +
  '"snapshot_name":"1","properties":{"used":{"value":"0","source":{"type":"NONE","data":"-"}},"u:v":{"value":' +
  '"tab\\tnl\\np/x\\tused","source":{"type":"INHERITED","data":"p/a"}},"origin":{"value":"-","source":{"type":"NONE",' +
  '"data":"-"}}}}}}\n';
const LINES_OUTPUT =
  'p/a\tused\t24576\t-\np/a\tu:v\ttab\tnl\np/x\tused\tlocal\np/a\torigin\t-\t-\n' +
  'p/a@1\tused\t0\t-\np/a@1\tu:v\ttab\tnl\np/x\tused\tinherited from p/a\np/a@1\torigin\t-\t-\n';
const ASKED = ['used', 'u:v', 'origin'];

test('both dialects give the same objects', (t) => {
  const entries = readJson('zfs get', JSON_OUTPUT);
  t.deepEqual(readLines('zfs get', LINES_OUTPUT, ASKED), entries);
  const [dataset, snapshot] = entries;
  if (dataset === undefined || snapshot === undefined) return t.fail();
  t.deepEqual([dataset.name, snapshot.name], ['p/a', 'p/a@1']);
  t.is(numberOf(dataset, 'used'), 24576n);
  t.is(valueOf(dataset, 'origin'), undefined, 'not set');
  t.is(ownValueOf(dataset, 'u:v'), 'tab\tnl\np/x\tused');
  t.is(ownValueOf(snapshot, 'u:v'), undefined, 'inherited');
  t.is(valueOf(snapshot, 'u:v'), 'tab\tnl\np/x\tused');
});

test('no objects are an empty list', (t) => {
  t.deepEqual(readLines('zfs get', '', ASKED), []);
  t.deepEqual(readJson('zpool get', '{"output_version":{"vers_major":0},"pools":{}}'), []);
});

test('a value that imitates a row is found', (t) => {
  const forged = 'p/a\tu:v\tx\tlocal\np/b\tused\t1\t-\np/a\tused\t5\t-\np/b\tused\t7\t-\n';
  t.throws(() => readLines('zfs get', forged, ASKED), bad);
});

test('output of another shape is refused', (t) => {
  for (const text of ['', '{', '[]', '{"output_version":{"vers_major":1},"datasets":{}}', JSON_OUTPUT.slice(0, 300)]) {
    t.throws(() => readJson('zfs get', text), bad, text.slice(0, 60));
  }
  for (const text of [
    'p/a',
    'x\n',
    'p/a\tused\n',
    'p/a\tused\t1\n',
    'p/a\tused\t1\tnowhere\n',
    'p/a\tsize\t1\t-\n',
    '\n',
  ]) {
    t.throws(() => readLines('zfs get', text, ASKED), bad, JSON.stringify(text));
  }
});

test('values of a user reach the caller unaltered', (t) => {
  const value = fc.string({ unit: 'binary' }).filter((text) => !/\0|\t(used|u:v)\t/.test(text));
  const rows = fc.array(value, { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(rows, (values) => {
      const text = values.map((each, index) => `p/${String(index)}\tu:v\t${each}\tlocal\n`).join('');
      const read = readLines('zfs get', text, ASKED).map((entry) => valueOf(entry, 'u:v'));
      t.deepEqual(read, values);
    }),
  );
});

test('versions of the tools and of the module', (t) => {
  const versions = readVersions('zfs-2.4.4-1~bpo13+1\nzfs-kmod-2.3.2-1\n');
  if (versions === undefined) return t.fail();
  t.deepEqual(versions.tools, { major: 2, minor: 4, text: '2.4.4-1~bpo13+1' });
  t.is(versions.module?.text, '2.3.2-1');
  t.true(isAtLeast(versions.tools, { major: 2, minor: 4 }));
  t.false(isAtLeast(versions.tools, { major: 2, minor: 5 }));
  t.false(isAtLeast(versions.tools, { major: 3, minor: 0 }));
  t.is(readVersions('zfs-2.1.11-1\n')?.module, undefined);
  t.is(readVersions('unrecognized command'), undefined);
});
