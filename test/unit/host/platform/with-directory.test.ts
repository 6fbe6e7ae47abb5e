import { chmod, mkdir, mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { withDirectory } from '../../../../src/host/platform/with-directory.ts';

test('missing directories are made inside, as they are elsewhere', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'within-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const [root, like, outside] = ['root', 'like', 'outside'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  for (const path of [root, outside, join(like, 'a/b')]) await mkdir(path, { recursive: true });
  await chmod(join(like, 'a'), 0o1777);
  await chmod(join(like, 'a/b'), 0o2750);
  const write = (path: string) => withDirectory(root, path, like, (found) => writeFile(join(found, 'file'), ''));
  await write('a/b');
  t.is((await stat(join(root, 'a'))).mode & 0o7777, 0o1777);
  t.is((await stat(join(root, 'a/b'))).mode & 0o7777, 0o2750);
  t.true((await stat(join(root, 'a/b/file'))).isFile());

  await mkdir(join(like, 'link'));
  await symlink(outside, join(root, 'link'));
  await t.throwsAsync(write('link'));
  await t.throwsAsync(stat(join(outside, 'file')), { code: 'ENOENT' });
  await t.throwsAsync(write('a/b/file'), { message: /not a directory/ });
  await t.throwsAsync(write('a/nowhere'), { code: 'ENOENT' });
});
