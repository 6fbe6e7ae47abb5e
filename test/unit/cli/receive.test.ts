import test from 'ava';
import { lstat, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { receive } from '../../../src/cli/copy/receive.ts';
import { run } from '../../../src/host/processes/run.ts';
import { removeTree } from '../../../src/host/trees/remove-tree.ts';
import { tarOf } from '../integrations/oci/image-builder.ts';

const setUp = async (t: { teardown(task: () => Promise<void>): void }) => {
  const directory = await mkdtemp(join(tmpdir(), 'receive-'));
  t.teardown(() => removeTree(directory));
  const target = join(directory, 'tree');
  const bring = (tar: Buffer) =>
    receive(target, 'tree', (archive) => {
      archive.end(tar);
      return Promise.resolve();
    });
  return { directory, target, bring };
};

test('a copy does not write through links of an earlier one', async (t) => {
  const { directory, target, bring } = await setUp(t);
  const outside = join(directory, 'outside');
  await writeFile(outside, 'untouched');
  const link = { name: 'tree/x', type: 'symlink', linkName: outside } as const;
  await bring(tarOf({ name: 'tree/', type: 'directory' }, link));
  t.is(await readlink(join(target, 'x')), outside);
  await bring(tarOf({ name: 'tree/', type: 'directory' }, { name: 'tree/x', body: 'new' }));
  t.is(await readFile(outside, 'utf8'), 'untouched');
  t.is(await readFile(join(target, 'x'), 'utf8'), 'new');

  await rm(join(target, 'x'));
  await symlink(directory, join(target, 'x'));
  await t.throwsAsync(bring(tarOf({ name: 'tree/x/', type: 'directory' }, { name: 'tree/x/outside', body: 'new' })));
  t.is(await readFile(outside, 'utf8'), 'untouched');
  t.deepEqual((await readdir(directory)).sort(), ['outside', 'tree']);
});

test('a copy of the longest paths is tamed, or leaves nothing', async (t) => {
  const { directory, target, bring } = await setUp(t);
  const deep = `tree${`/${'d'.repeat(255)}`.repeat(15)}/${'e'.repeat(240)}`;
  const suid = { name: `${deep}/suid`, body: 'x', mode: 0o6755 } as const;
  await bring(tarOf(suid, { name: `${deep}/pipe`, type: 'fifo' }, { name: 'tree/suid', body: 'x', mode: 0o4755 }));
  t.is((await lstat(join(target, 'suid'))).mode & 0o7777, 0o755);
  const found = await run('find', [target, '(', '-type', 'p', '-o', '-perm', '/6000', ')', '-printf', '%f\n']);
  t.is(found.stdout, '');
  await t.throwsAsync(bring(tarOf(suid, { name: 'tree/suid/file', body: 'x' })));
  t.deepEqual(await readdir(directory), ['tree']);
});
