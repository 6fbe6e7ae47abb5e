import test from 'ava';
import fc from 'fast-check';
import { LayerPaths } from '../../../../src/host/layers/layer-paths.ts';
import { PathBits } from '../../../../src/host/layers/path-bits.ts';

const component = fc.string({ minLength: 1, unit: 'grapheme' }).filter((name) => !name.includes('/'));
const path = fc.array(component, { minLength: 1, maxLength: 8 });

test('a path of a set is found component by component', (t) => {
  fc.assert(
    fc.property(fc.array(path, { maxLength: 20 }), (paths) => {
      const bits = new PathBits();
      for (const components of paths) bits.add(bits.below(PathBits.root, components.join('/')));
      for (const components of paths) {
        const hash = components.reduce((above, name) => bits.below(above, name), PathBits.root);
        t.true(bits.mayHave(hash));
      }
    }),
    { numRuns: 30 },
  );
});

test('a path that a set lacks is rarely looked up', (t) => {
  const bits = new PathBits();
  const hash = (number: number) => bits.below(PathBits.root, `directory/${number}/file`);
  for (let number = 0; number < 100_000; number++) bits.add(hash(number));
  let found = 0;
  for (let number = 100_000; number < 200_000; number++) if (bits.mayHave(hash(number))) found++;
  t.true(found < 1000, `${found} of 100,000`);
});

test('symlinks are resolved at every depth', (t) => {
  const paths = new LayerPaths();
  const deep = Array.from({ length: 40 }, (_, index) => `d${index}`);
  for (const depth of [0, 7, 39]) {
    paths.set([...deep.slice(0, depth), 'link'].join('/'), { kind: 'symlink', target: `../t${depth}` });
    t.is(
      paths.resolveDirectory([...deep.slice(0, depth), 'link', 'x', 'y']),
      [...deep.slice(0, Math.max(depth - 1, 0)), `t${depth}`, 'x', 'y'].join('/'),
    );
  }
  paths.set([...deep, 'file'].join('/'), { kind: 'other' });
  t.throws(() => paths.resolveDirectory([...deep, 'file', 'x']), { message: /is not a directory/ });
});
