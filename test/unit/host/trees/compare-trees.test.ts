import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { cpSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compareEntries, compareTrees } from '../../../../src/host/trees/compare-trees.ts';
import { sortedEntries, type TreeEntry } from '../../../../src/host/trees/sorted-entries.ts';

const LETTERS = { added: 'A', modified: 'C', deleted: 'D' };

/** `A path` of each change, in Latin-1. */
async function lines(batches: ReturnType<typeof compareEntries>): Promise<string[]> {
  const found: string[] = [];
  for await (const batch of batches)
    found.push(...batch.map(({ kind, path }) => `${LETTERS[kind]} ${path.toString('latin1')}`));
  return found;
}

async function temporary(t: ExecutionContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'compare-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** Entries as {@link sortedEntries} gives them, of paths with a type and a state. */
async function* entries(tree: ReadonlyMap<string, string>, batch: number): AsyncGenerator<TreeEntry[]> {
  const all = [...tree]
    .map(([path, facts]) => ({ key: path.replaceAll('/', '\0'), type: facts.charAt(0), facts }))
    .sort((a, b) => (a.key < b.key ? -1 : 1));
  await Promise.resolve();
  for (let at = 0; at < all.length; at += batch) yield all.slice(at, at + batch);
}

/** A tree by its paths: each has its directories. */
const trees = fc
  .array(
    fc.tuple(
      fc.array(fc.constantFrom('a', 'b', 'a-', 'a\n'), { minLength: 1, maxLength: 4 }),
      fc.constantFrom('d', 'f', 'g'),
    ),
  )
  .map((paths) => {
    const tree = new Map<string, string>();
    for (const [components, facts] of paths) {
      const above = components.slice(0, -1).map((_, index) => components.slice(0, index + 1).join('/'));
      if (above.some((path) => tree.get(path)?.startsWith('d') === false)) continue;
      for (const path of above) if (!tree.has(path)) tree.set(path, 'd');
      const path = components.join('/');
      if (!tree.has(path)) tree.set(path, facts);
    }
    return tree;
  });

test('The changes turn one tree into the other', async (t) => {
  await fc.assert(
    fc.asyncProperty(trees, trees, fc.integer({ min: 1, max: 5 }), async (before, after, batch) => {
      const rebuilt = new Map(before);
      const seen: string[] = [];
      for (const line of await lines(compareEntries(entries(before, batch), entries(after, 7)))) {
        const [kind, path] = [line[0], line.slice(2)];
        seen.push(path);
        const replaced = kind === 'D' || (kind === 'C' && after.get(path)?.startsWith('d') === false);
        if (replaced)
          for (const each of [...rebuilt.keys()])
            if (each === path || each.startsWith(`${path}/`)) rebuilt.delete(each);
        if (kind !== 'D') rebuilt.set(path, after.get(path) ?? 'missing');
        if (kind === 'A' && before.has(path)) return false;
        for (let slash = path.indexOf('/'); slash >= 0; slash = path.indexOf('/', slash + 1)) {
          if (!seen.includes(path.slice(0, slash))) return false;
        }
      }
      t.is(new Set(seen).size, seen.length, 'each once');
      t.deepEqual(new Map([...rebuilt].sort()), new Map([...after].sort()));
      return true;
    }),
  );
});

test('Trees with any names are compared', async (t) => {
  const root = await temporary(t);
  const [before, after] = [join(root, 'before'), join(root, 'after')];
  mkdirSync(join(before, 'kept/deep'), { recursive: true });
  mkdirSync(after);
  const odd = Buffer.concat([Buffer.from(`${after}/`), Buffer.from('caf\xe9\n\xff', 'latin1')]);
  writeFileSync(join(before, 'file'), 'x');
  writeFileSync(join(before, 'kept/deep/file'), 'x');
  t.deepEqual(await lines(compareTrees(before, before)), []);
  // A copy has other times (ctime): everything in it differs.
  cpSync(before, after, { recursive: true });
  mkdirSync(odd);
  symlinkSync('/etc', join(after, 'link'));
  rmSync(join(after, 'kept/deep'), { recursive: true });
  t.deepEqual(await lines(compareTrees(before, after)), [
    'A caf\xe9\n\xff',
    'C file',
    'C kept',
    'D kept/deep',
    'A link',
  ]);
  t.deepEqual(await lines(compareTrees(join(before, 'kept'), join(after, 'kept'))), ['D deep']);
});

test('Listing a tree fails with the reason', async (t) => {
  const root = await temporary(t);
  const list = async (directory: string, signal?: AbortSignal) => {
    const entries = sortedEntries(directory, signal);
    while ((await entries.next()).done !== true);
  };
  await t.throwsAsync(list(join(root, 'missing')), { message: /find/ });
  await t.throwsAsync(list('/usr', AbortSignal.timeout(1)), { name: 'TimeoutError' });
  // Left early, as by a client that is gone.
  mkdirSync(join(root, 'inside'));
  const early = sortedEntries(root);
  t.like((await early.next()).value, [{ key: 'inside', type: 'd' }]);
  await early.return([]);
});
