import test, { type ExecutionContext } from 'ava';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { diskUsage } from '../../../../src/host/trees/disk-usage.ts';
import { removeTree } from '../../../../src/host/trees/remove-tree.ts';
import { Trash } from '../../../../src/host/trees/trash.ts';
import { makeDeep } from './deep-tree.ts';

async function temporary(t: ExecutionContext): Promise<string> {
  const directory = await mkdtemp('/tmp/trees-');
  t.teardown(() => execFileSync('rm', ['-rf', '--', directory]));
  return directory;
}

test('a tree deeper than PATH_MAX is counted and removed', async (t) => {
  const directory = await temporary(t);
  const deep = join(directory, 'deep');
  await makeDeep(deep);
  const usage = await diskUsage(deep);
  t.is(usage?.inodes, 201n);
  t.true((usage?.bytes ?? 0n) >= 8192n);
  await removeTree(deep);
  t.deepEqual(await readdir(directory), []);
});

test('counting and removing never follow links', async (t) => {
  const directory = await temporary(t);
  await mkdir(join(directory, 'outside/many'), { recursive: true });
  await writeFile(join(directory, 'outside/file'), 'x');
  await mkdir(join(directory, 'tree'));
  await symlink('../outside', join(directory, 'tree/link'));
  await symlink('outside', join(directory, 'top'));
  t.is((await diskUsage(join(directory, 'tree')))?.inodes, 1n);
  t.is((await diskUsage(join(directory, 'top')))?.inodes, 0n);
  await removeTree(join(directory, 'tree'), join(directory, 'top'), join(directory, 'never'));
  t.deepEqual(await readdir(directory), ['outside']);
  t.deepEqual((await readdir(join(directory, 'outside'))).sort(), ['file', 'many']);
});

test('a missing path does not affect the others', async (t) => {
  const directory = await temporary(t);
  await mkdir(join(directory, 'a\nb'));
  await writeFile(join(directory, 'a\nb/file'), 'x');
  const names = ['a\nb', 'never', 'a\nb'];
  const usages = await Promise.all(names.map((name) => diskUsage(join(directory, name))));
  t.deepEqual(
    usages.map((usage) => usage?.inodes),
    [1n, undefined, 1n],
  );
});

test('a discarded tree disappears at once', async (t) => {
  const directory = await temporary(t);
  const errors: unknown[] = [];
  const trash = new Trash(join(directory, 'trash'), (error) => errors.push(error));
  await makeDeep(join(directory, 'deep'));
  await mkdir(join(directory, 'trash/left-by-another/x'), { recursive: true });
  await Promise.all([trash.discard(join(directory, 'deep')), trash.discard(join(directory, 'never'))]);
  t.deepEqual(await readdir(directory), ['trash']);
  await trash.sweep();
  await trash.emptied();
  t.deepEqual(await readdir(join(directory, 'trash')), []);
  t.deepEqual(errors, []);
});

test('a failed removal is reported and retried', async (t) => {
  const directory = await temporary(t);
  const errors: unknown[] = [];
  await writeFile(join(directory, 'trash'), 'no directory');
  const trash = new Trash(join(directory, 'trash'), (error) => errors.push(error));
  await trash.sweep();
  t.is(errors.length, 1);
  await mkdir(join(directory, 'tree'));
  await t.throwsAsync(trash.discard(join(directory, 'tree')));
  t.true((await readdir(directory)).includes('tree'));
});
