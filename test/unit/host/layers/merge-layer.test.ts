import test from 'ava';
import fc from 'fast-check';
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mergeLayer } from '../../../../src/host/layers/merge-layer.ts';

/** What is at each path: a directory with its mode, a file with its content, a link with its target. */
type Tree = ReadonlyMap<string, string>;

const NAMES = ['a', 'b', 'c'];
const paths = fc.array(fc.constantFrom(...NAMES), { minLength: 1, maxLength: 3 }).map((names) => names.join('/'));
const nodes = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('d 755', 'd 700', 'd 1777') },
  fc.constantFrom('f below', 'f above'),
  // Leads out of the layer, where nothing may happen.
  fc.constantFrom('l ../outside', 'l a', 'l /'),
);
const trees = fc.array(fc.tuple(paths, nodes), { maxLength: 12 }).map((entries) => {
  const tree = new Map<string, string>();
  for (const [path, node] of entries) {
    const parents = path
      .split('/')
      .slice(0, -1)
      .map((_, index, all) => all.slice(0, index + 1).join('/'));
    if (tree.has(path) || parents.some((parent) => tree.has(parent) && tree.get(parent)?.[0] !== 'd')) continue;
    for (const parent of parents) if (!tree.has(parent)) tree.set(parent, 'd 755');
    tree.set(path, node);
  }
  return tree;
});

function write(root: string, tree: Tree): void {
  for (const [path, node] of tree) {
    const [kind, value = ''] = node.split(' ');
    if (kind === 'd') mkdirSync(join(root, path));
    else if (kind === 'f') writeFileSync(join(root, path), value);
    else symlinkSync(value, join(root, path));
  }
  for (const [path, node] of tree) if (node.startsWith('d')) chmodSync(join(root, path), parseInt(node.slice(2), 8));
}

function read(root: string, below = '', tree = new Map<string, string>()): Map<string, string> {
  for (const name of readdirSync(join(root, below))) {
    const path = below === '' ? name : `${below}/${name}`;
    const stat = lstatSync(join(root, path));
    if (stat.isSymbolicLink()) tree.set(path, `l ${readlinkSync(join(root, path))}`);
    else if (stat.isFile()) tree.set(path, `f ${readFileSync(join(root, path), 'utf8')}`);
    else {
      tree.set(path, `d ${(stat.mode & 0o7777).toString(8)}`);
      read(root, path, tree);
    }
  }
  return tree;
}

function removeBelow(tree: Map<string, string>, path: string): void {
  for (const each of [...tree.keys()]) if (path === '' || each.startsWith(`${path}/`)) tree.delete(each);
}

/** What overlayfs shows of both. */
function model(lower: Tree, upper: Tree, hidden: readonly string[], opaque: readonly string[]): Map<string, string> {
  const merged = new Map(lower);
  for (const path of hidden) {
    removeBelow(merged, path);
    merged.delete(path);
  }
  for (const path of opaque) removeBelow(merged, path);
  for (const [path, node] of upper) {
    if (!node.startsWith('d') || merged.get(path)?.startsWith('d') !== true) removeBelow(merged, path);
    merged.set(path, node);
  }
  return merged;
}

test('a merged layer looks as in overlayfs', (t) => {
  const removals = fc.array(paths, { maxLength: 3 });
  const opaques = fc.array(fc.oneof(paths, fc.constant('')), { maxLength: 2 });
  fc.assert(
    fc.property(trees, trees, removals, opaques, (lower, upper, hidden, opaque) => {
      const root = mkdtempSync(join(tmpdir(), 'merge-'));
      try {
        const outside = new Map([['kept', 'f untouched']]);
        for (const name of ['outside', 'onto', 'onto/.stage']) mkdirSync(join(root, name));
        write(join(root, 'outside'), outside);
        write(join(root, 'onto'), lower);
        write(join(root, 'onto/.stage'), upper);
        mergeLayer(join(root, 'onto/.stage'), join(root, 'onto'), { hidden, opaque });
        const sorted = (tree: Tree) => [...tree].sort();
        t.deepEqual(sorted(read(join(root, 'onto'))), sorted(model(lower, upper, hidden, opaque)));
        t.deepEqual(read(join(root, 'outside')), outside);
      } finally {
        rmSync(root, { recursive: true });
      }
    }),
    { numRuns: 150 },
  );
});
