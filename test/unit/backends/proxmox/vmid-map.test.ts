import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { VmidMap } from '../../../../src/backends/proxmox/guests/vmid-map.ts';

async function place(t: ExecutionContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'vmids-'));
  t.teardown(() => rm(directory, { recursive: true }));
  return join(directory, 'vmids.json');
}

test('a change is on disk when its call resolves', async (t) => {
  const path = await place(t);
  const map = await VmidMap.open(path);
  await Promise.all([
    map.set(101, { owner: 'b', state: 'reserved' }),
    map.set(100, { owner: 'a', state: 'used' }),
    map.set(102, { owner: 'c', state: 'used' }),
  ]);
  await map.set(102, undefined);
  const again = await VmidMap.open(path);
  t.deepEqual(again.entries(), [
    [100, { owner: 'a', state: 'used' }],
    [101, { owner: 'b', state: 'reserved' }],
  ]);
});

test('changes during a writing share the next one', async (t) => {
  const texts: string[] = [];
  const map = await VmidMap.open(await place(t), async (_path, text) => {
    texts.push(text);
  });
  await Promise.all(Array.from({ length: 50 }, (_, index) => map.set(100 + index, { owner: 'x', state: 'used' })));
  t.true(texts.length <= 2, `${texts.length} writings`);
  t.is(Object.keys((JSON.parse(texts.at(-1)!) as { vmids: object }).vmids).length, 50);
});

test('a change that cannot be written is none', async (t) => {
  let full = false;
  const map = await VmidMap.open(await place(t), async () => {
    if (full) throw new Error('no space left on device');
  });
  await map.set(100, { owner: 'a', state: 'used' });
  full = true;
  await t.throwsAsync(map.set(100, undefined), { message: 'no space left on device' });
  await t.throwsAsync(map.set(101, { owner: 'b', state: 'used' }));
  t.deepEqual(map.entries(), [[100, { owner: 'a', state: 'used' }]]);
  full = false;
  await map.set(100, undefined);
  t.deepEqual(map.entries(), []);
});

test('what a killed writing left is removed', async (t) => {
  const path = await place(t);
  await (await VmidMap.open(path)).set(100, { owner: 'a', state: 'used' });
  await writeFile(`${path}.tmp-1-x`, '{"form');
  t.is((await VmidMap.open(path)).get(100)?.owner, 'a');
  t.deepEqual(await readdir(join(path, '..')), ['vmids.json']);
});

test('files that are no map are refused, and kept', async (t) => {
  const path = await place(t);
  const refused: [text: string, message: RegExp][] = [
    ['{"form', /is not JSON: restore it, or remove it/],
    ['{"format":2,"vmids":{}}', /has format 2, of a newer version/],
    ['{"format":1,"vmids":{"7":{"owner":"a","state":"used"}}}', /is no map of VMIDs/],
    ['[]', /is no map of VMIDs/],
  ];
  for (const [text, message] of refused) {
    await writeFile(path, text);
    await t.throwsAsync(VmidMap.open(path), { message });
    t.is(await readFile(path, 'utf8'), text);
  }
});
