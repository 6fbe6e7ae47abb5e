import test from 'ava';
import type { ExecutionContext } from 'ava';
import { mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { integer } from '../../../../../src/core/lifecycle/records/codecs.ts';
import { RecordStore } from '../../../../../src/core/lifecycle/records/record-store.ts';
import { recordsBelow } from '../../../../lib/records-place.ts';
import { StatusCode } from '../../../../../src/core/model/errors.ts';
import type { Logger } from '../../../../../src/core/model/logger.ts';

const drop = () => undefined;
const silent: Logger = { debug: drop, info: drop, warn: drop, error: drop, with: () => silent };
const schema = z.object({ id: z.string(), size: integer });

async function directory(t: ExecutionContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'records-'));
  t.teardown(() => rm(path, { recursive: true }));
  await mkdir(join(path, 'images'));
  return join(path, 'images');
}

async function open(path: string) {
  const store = new RecordStore('images', recordsBelow(join(path, '..')), { schema, logger: silent });
  await store.load();
  return store;
}

test('records survive a restart; deleted ones do not', async (t) => {
  const path = await directory(t);
  const store = await open(path);
  await store.put({ id: 'sha256:aa', size: 2n ** 60n });
  await store.put({ id: 'bb', size: 1n });
  await store.delete('bb');
  await store.delete('bb');
  t.deepEqual((await open(path)).list(), [{ id: 'sha256:aa', size: 2n ** 60n }]);
});

test('damaged records are set aside; partial ones are dropped', async (t) => {
  const path = await directory(t);
  await (await open(path)).put({ id: 'good', size: 1n });
  await writeFile(join(path, 'cut.json'), '{"format":1,"rec');
  await writeFile(join(path, 'empty.json'), '');
  await writeFile(join(path, 'sha256-stranger.json'), '{"format":2,"revision":1,"record":{"id":"other","size":"1"}}');
  await writeFile(join(path, 'good.json.tmp-1-x'), '{');
  for (let start = 0; start < 2; start += 1) {
    const store = await open(path);
    t.deepEqual(store.list(), [{ id: 'good', size: 1n }]);
    for (const id of ['cut', 'empty', 'sha256:stranger']) t.true(store.isSetAside(id), id);
    t.false(store.isSetAside('good'));
    t.deepEqual((await readdir(path)).sort(), [
      'cut.json.corrupt',
      'empty.json.corrupt',
      'good.json',
      'sha256-stranger.json.corrupt',
    ]);
  }
});

test('a newer record refuses the start and stays', async (t) => {
  const path = await directory(t);
  await writeFile(join(path, 'newer.json'), '{"format":3,"record":{"id":"newer"}}');
  await t.throwsAsync(open(path), {
    code: StatusCode.FAILED_PRECONDITION,
    message: /newer\.json: format 3 was written by a later version of this server.*install the later version/,
  } as object);
  t.deepEqual(await readdir(path), ['newer.json']);
});

test('an unreadable record refuses the start and stays', async (t) => {
  const path = await directory(t);
  // EISDIR stands for every error of read(2).
  await mkdir(join(path, 'bb.json'));
  await t.throwsAsync(open(path), {
    code: StatusCode.FAILED_PRECONDITION,
    message: /bb\.json: cannot be read \(EISDIR.*restart the server/,
  } as object);
  t.deepEqual(await readdir(path), ['bb.json']);
});

test('a damaged record is restored from its copy', async (t) => {
  const path = await directory(t);
  await (await open(path)).put({ id: 'aa', size: 1n });
  await writeFile(join(path, 'aa.json'), '{"format":2,"rec');
  for (let start = 0; start < 2; start += 1) {
    const store = await open(path);
    t.deepEqual(store.list(), [{ id: 'aa', size: 1n }]);
    t.false(store.isSetAside('aa'));
  }
  t.deepEqual(await readdir(path), ['aa.json']);
});

test('an unwritable status is kept and written later', async (t) => {
  const path = await directory(t);
  const store = await open(path);
  await store.put({ id: 'ended', size: 1n });
  await store.put({ id: 'removed', size: 1n });
  // A moved directory can neither be written to nor removed from.
  await rename(path, `${path}.away`);
  await t.throwsAsync(store.put({ id: 'ended', size: 2n }), { code: 'ENOENT' });
  t.deepEqual(store.get('ended'), { id: 'ended', size: 1n });
  await store.settle({ id: 'ended', size: 3n });
  await store.delete('removed');
  t.deepEqual(store.list(), [{ id: 'ended', size: 3n }]);
  await rename(`${path}.away`, path);
  t.deepEqual((await readdir(path)).sort(), ['ended.json', 'removed.json']);

  t.deepEqual((await open(path)).list(), [{ id: 'ended', size: 3n }]);
  t.deepEqual(await readdir(path), ['ended.json']);
  t.regex(await readFile(join(path, 'ended.json'), 'utf8'), /"size": "3"/);
  t.deepEqual(await readdir(join(path, '..', 'state', 'records', 'images')), ['ended.json']);
});

test('a removed record stays removed despite its copy', async (t) => {
  const path = await directory(t);
  const store = await open(path);
  await store.put({ id: 'removed', size: 1n });
  await store.delete('removed');
  await store.put({ id: 'lost', size: 1n });
  await rm(join(path, 'lost.json'));
  const again = await open(path);
  t.deepEqual(again.list(), []);
  t.deepEqual([...again.lost()], [['lost', { id: 'lost', size: 1n }]]);
  again.forget('lost');
  t.deepEqual([...(await open(path)).lost()], []);
});

test('a draft outlives a restart, but not a reboot', async (t) => {
  const path = await directory(t);
  const copies = join(path, '..', 'state', 'records', 'images');
  const store = await open(path);
  await store.put({ id: 'known', size: 1n });
  await store.draft({ id: 'known', size: 2n });
  await store.draft({ id: 'new', size: 1n });
  t.is(store.get('new')?.size, 1n);
  t.deepEqual(await readdir(path), ['known.json']);
  const ids = (all: { id: string }[]) => all.toSorted((a, b) => a.id.localeCompare(b.id));
  t.deepEqual(ids((await open(path)).list()), [
    { id: 'known', size: 2n },
    { id: 'new', size: 1n },
  ]);
  t.deepEqual((await readdir(path)).sort(), ['known.json', 'new.json'], 'what continues is durable');

  const later = await open(path);
  await later.draft({ id: 'known', size: 3n });
  await later.delete('new');
  await rm(copies, { recursive: true });
  t.deepEqual((await open(path)).list(), [{ id: 'known', size: 2n }]);

  const last = await open(path);
  await rm(copies, { recursive: true });
  await last.draft({ id: 'known', size: 4n });
  t.is((await open(path)).get('known')?.size, 4n, 'durable where no backup can be written');
});

test('A copy that cannot be renamed leaves nothing', async (t) => {
  const path = await directory(t);
  const copies = join(path, '..', 'state', 'records', 'images');
  const store = await open(path);
  // A directory with content cannot be replaced by rename(2).
  await mkdir(join(copies, 'aa.json', 'full'), { recursive: true });
  await store.put({ id: 'aa', size: 1n });
  t.deepEqual(await readdir(copies), []);
});
