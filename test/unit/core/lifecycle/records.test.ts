import test from 'ava';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findById, lookupById, newId } from '../../../../src/core/lifecycle/ids.ts';
import { NameRegistry } from '../../../../src/core/lifecycle/names.ts';
import { RecordStore } from '../../../../src/core/lifecycle/records.ts';
import type { Logger } from '../../../../src/core/model/logger.ts';

interface Thing {
  id: string;
  size: bigint;
}

const drop = () => undefined;
const silent: Logger = { debug: drop, info: drop, warn: drop, error: drop, with: () => silent };
const parse = (stored: Record<string, unknown> & { id: string }): Thing => {
  if (typeof stored['size'] !== 'bigint') throw new Error('size is missing');
  return stored as unknown as Thing;
};

test('records outlive their store; a deleted one does not', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'records-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const store = new RecordStore<Thing>(folder, { parse, logger: silent });
  await store.load();
  await store.put({ id: 'sha256:aa', size: 2n ** 60n });
  await store.put({ id: 'bb', size: 1n });
  await store.delete('bb');
  await store.delete('bb');
  const again = new RecordStore<Thing>(folder, { parse, logger: silent });
  await again.load();
  t.deepEqual(again.list(), [{ id: 'sha256:aa', size: 2n ** 60n }]);
});

test('a file that cannot be understood is set aside and the others are read; a half-written one is dropped', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'records-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const store = new RecordStore<Thing>(folder, { parse, logger: silent });
  await store.load();
  await store.put({ id: 'good', size: 1n });
  await writeFile(join(folder, 'cut.json'), '{"format":1,"rec');
  await writeFile(join(folder, 'newer.json'), '{"format":2,"record":{"id":"newer"}}');
  await writeFile(join(folder, 'stranger.json'), '{"format":1,"record":{"id":"other","size":{"$bigint":"1"}}}');
  await writeFile(join(folder, 'good.json.tmp-1-x'), '{');
  const again = new RecordStore<Thing>(folder, { parse, logger: silent });
  await again.load();
  t.deepEqual(
    again.list().map(({ id }) => id),
    ['good'],
  );
  t.deepEqual((await readdir(folder)).sort(), [
    'cut.json.corrupt',
    'good.json',
    'newer.json.corrupt',
    'stranger.json.corrupt',
  ]);
});

test('an id is found by its unique beginning; an ambiguous one and an empty one are refused', (t) => {
  const objects = ['abc1', 'abd2', 'abd22'].map((id) => ({ id }));
  t.is(findById('container', objects, 'abc').id, 'abc1');
  t.is(findById('container', objects, 'abd2').id, 'abd2');
  t.throws(() => findById('container', objects, 'ab'), { message: /begins several/ });
  t.throws(() => findById('container', objects, ''), { message: /must not be empty/ });
  t.throws(() => findById('container', objects, 'zz'), { message: 'container "zz" not found' });
  t.is(lookupById('container', objects, 'zz'), undefined);
  t.regex(newId(), /^[0-9a-f]{64}$/);
});

test('a name belongs to one id until it is released', (t) => {
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

test('two records of one name do not keep the server from starting', (t) => {
  const names = new NameRegistry('pod sandbox');
  names.restore('a', '1');
  names.restore('a', '2');
  t.is(names.owner('a'), '1');
  names.release('2');
  t.is(names.owner('a'), '1');
});
