import test, { type ExecutionContext } from 'ava';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { diskUsage } from '../../../../src/host/trees/disk-usage.ts';
import { removeTree } from '../../../../src/host/trees/remove-tree.ts';
import { Trash } from '../../../../src/host/trees/trash.ts';
import { makeDeep } from './deep-tree.ts';

async function temporary(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp('/tmp/trees-');
  t.teardown(() => execFileSync('rm', ['-rf', '--', folder]));
  return folder;
}

test('a tree deeper than PATH_MAX is counted and removed', async (t) => {
  const folder = await temporary(t);
  const deep = join(folder, 'deep');
  await makeDeep(deep);
  const usage = await diskUsage(deep);
  t.is(usage?.inodes, 201n);
  t.true((usage?.bytes ?? 0n) >= 8192n);
  await removeTree(deep);
  t.deepEqual(await readdir(folder), []);
});

test('links are neither followed when counting nor when removing', async (t) => {
  const folder = await temporary(t);
  await mkdir(join(folder, 'outside/many'), { recursive: true });
  await writeFile(join(folder, 'outside/file'), 'x');
  await mkdir(join(folder, 'tree'));
  await symlink('../outside', join(folder, 'tree/link'));
  await symlink('outside', join(folder, 'top'));
  t.is((await diskUsage(join(folder, 'tree')))?.inodes, 1n);
  t.is((await diskUsage(join(folder, 'top')))?.inodes, 0n);
  await removeTree(join(folder, 'tree'), join(folder, 'top'), join(folder, 'never'));
  t.deepEqual(await readdir(folder), ['outside']);
  t.deepEqual((await readdir(join(folder, 'outside'))).sort(), ['file', 'many']);
});

test('what does not exist is not counted, and hides no other of those counted together', async (t) => {
  const folder = await temporary(t);
  await mkdir(join(folder, 'a\nb'));
  await writeFile(join(folder, 'a\nb/file'), 'x');
  const names = ['a\nb', 'never', 'a\nb'];
  const usages = await Promise.all(names.map((name) => diskUsage(join(folder, name))));
  t.deepEqual(
    usages.map((usage) => usage?.inodes),
    [1n, undefined, 1n],
  );
});

test('a discarded tree is out of sight at once and gone afterwards', async (t) => {
  const folder = await temporary(t);
  const errors: unknown[] = [];
  const trash = new Trash(join(folder, 'trash'), (error) => errors.push(error));
  await makeDeep(join(folder, 'deep'));
  await mkdir(join(folder, 'trash/left-by-another/x'), { recursive: true });
  await Promise.all([trash.discard(join(folder, 'deep')), trash.discard(join(folder, 'never'))]);
  t.deepEqual(await readdir(folder), ['trash']);
  await trash.sweep();
  await trash.emptied();
  t.deepEqual(await readdir(join(folder, 'trash')), []);
  t.deepEqual(errors, []);
});

test('a removal that fails is reported and stays for the next sweep', async (t) => {
  const folder = await temporary(t);
  const errors: unknown[] = [];
  await writeFile(join(folder, 'trash'), 'no directory');
  const trash = new Trash(join(folder, 'trash'), (error) => errors.push(error));
  await trash.sweep();
  t.is(errors.length, 1);
  await mkdir(join(folder, 'tree'));
  await t.throwsAsync(trash.discard(join(folder, 'tree')));
  t.true((await readdir(folder)).includes('tree'));
});
