import test from 'ava';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { removeOwn } from '../../../src/host/remove-own.ts';

const parts = [{ path: 'a/keyed', own: /^\d+$/ }, { path: 'a' }, { path: 'b' }, { path: 'file' }];

test("the server's own files are removed with the directory", async (t) => {
  const base = await mkdtemp(join(tmpdir(), 'own-'));
  for (const path of ['a/keyed/1/x', 'a/tmp', 'b']) await mkdir(join(base, path), { recursive: true });
  await writeFile(join(base, 'file'), '');
  t.deepEqual(await removeOwn(base, parts), []);
  await t.throwsAsync(readdir(base), { code: 'ENOENT' });
  t.deepEqual(await removeOwn(base, parts), []);
});

test('foreign files are kept and named', async (t) => {
  const base = await mkdtemp(join(tmpdir(), 'own-'));
  t.teardown(() => rm(base, { recursive: true }));
  for (const path of ['a/keyed/1/x', 'a/keyed/notes/y', 'a/tmp', 'b/deep', 'mine']) {
    await mkdir(join(base, path), { recursive: true });
  }
  t.deepEqual(await removeOwn(base, parts), [join(base, 'a/keyed/notes'), join(base, 'mine')]);
  t.deepEqual((await readdir(base, { recursive: true })).sort(), [
    'a',
    'a/keyed',
    'a/keyed/notes',
    'a/keyed/notes/y',
    'mine',
  ]);
});
