import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { inspectPath, makeDirectories, readLinkPath, readPath } from '../../../src/host/paths.ts';

const directory = mkdtempSync(join(tmpdir(), 'paths-'));
test.after.always(() => rmSync(directory, { recursive: true }));

test('a symlink is followed to its target', async (t) => {
  mkdirSync(join(directory, 'directory'), { mode: 0o750 });
  symlinkSync('directory', join(directory, 'link'));
  const facts = await inspectPath(join(directory, 'link'));
  t.like(facts, { path: join(directory, 'directory'), kind: 'directory', mode: 0o750, uid: process.getuid?.() ?? 0 });
  t.is(await readLinkPath(join(directory, 'link')), 'directory');
  for (const path of ['directory', 'absent', 'absent/below'])
    t.is(await readLinkPath(join(directory, path)), undefined);
  t.like(await inspectPath('/dev/full'), { kind: 'char', major: 1, minor: 7 });
});

test("a missing path has the system's error code", async (t) => {
  await t.throwsAsync(inspectPath(join(directory, 'absent')), { code: 'ENOENT', message: /absent: No such file/ });
  await t.throwsAsync(makeDirectories('/proc/absent', 0o755), { code: 'ENOENT' });
});

test('reads are limited, and mkdir can be repeated', async (t) => {
  writeFileSync(join(directory, 'file'), 'content');
  t.is((await readPath(join(directory, 'file'), 7)).toString(), 'content');
  await t.throwsAsync(readPath(join(directory, 'file'), 6), { code: 'EFBIG' });
  await makeDirectories(join(directory, 'a/b/c'), 0o711);
  await makeDirectories(join(directory, 'a/b/c'), 0o711);
  t.is((await inspectPath(join(directory, 'a/b/c'))).mode, 0o711);
});

test('an aborted lookup fails with the abort reason', async (t) => {
  const controller = new AbortController();
  controller.abort(new Error('enough'));
  await t.throwsAsync(inspectPath('/', { signal: controller.signal }), { message: 'enough' });
});
