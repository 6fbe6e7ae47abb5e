import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { inspectPath, makeDirectories, readPath } from '../../../src/host/paths.ts';

const folder = mkdtempSync(join(tmpdir(), 'paths-'));
test.after.always(() => rmSync(folder, { recursive: true }));

test('a link is followed to what it leads to', async (t) => {
  mkdirSync(join(folder, 'directory'), { mode: 0o750 });
  symlinkSync('directory', join(folder, 'link'));
  const facts = await inspectPath(join(folder, 'link'));
  t.like(facts, { path: join(folder, 'directory'), kind: 'directory', mode: 0o750, uid: process.getuid?.() ?? 0 });
  t.like(await inspectPath('/dev/full'), { kind: 'char', major: 1, minor: 7 });
});

test('what is missing has the code of the system', async (t) => {
  await t.throwsAsync(inspectPath(join(folder, 'absent')), { code: 'ENOENT', message: /absent: No such file/ });
  await t.throwsAsync(makeDirectories('/proc/absent', 0o755), { code: 'ENOENT' });
});

test('files are read up to a limit, and directories made once', async (t) => {
  writeFileSync(join(folder, 'file'), 'content');
  t.is((await readPath(join(folder, 'file'), 7)).toString(), 'content');
  await t.throwsAsync(readPath(join(folder, 'file'), 6), { code: 'EFBIG' });
  await makeDirectories(join(folder, 'a/b/c'), 0o711);
  await makeDirectories(join(folder, 'a/b/c'), 0o711);
  t.is((await inspectPath(join(folder, 'a/b/c'))).mode, 0o711);
});

test('an aborted look ends with the reason', async (t) => {
  const controller = new AbortController();
  controller.abort(new Error('enough'));
  await t.throwsAsync(inspectPath('/', { signal: controller.signal }), { message: 'enough' });
});
