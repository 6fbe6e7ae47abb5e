import test from 'ava';
import fc from 'fast-check';
import { Container } from '../../../api/gen/cri.ts';
import { chunks } from '../../../src/cri/rpc/services.ts';

const MIB = 2 ** 20;

test('a streamed list is cut at bytes, not at items', (t) => {
  const items = (sizes: readonly number[]) => sizes.map((size) => Container.create({ imageRef: 'x'.repeat(size) }));
  const parts = (sizes: readonly number[]) => [...chunks(items(sizes), Container)].map((part) => part.length);
  t.deepEqual(parts([]), []);
  t.deepEqual(parts(Array<number>(1000).fill(0)), [1000]);
  t.deepEqual(parts([MIB, 10, MIB - 200, 400]), [1, 2, 1]);
  fc.assert(
    fc.property(fc.array(fc.nat(700_000), { maxLength: 20 }), (sizes) => {
      const list = items(sizes);
      const cut = [...chunks(list, Container)];
      const bytes = (part: Container[]) => part.reduce((sum, one) => sum + Container.encode(one).finish().length, 0);
      const isWhole = cut.flat().every((one, index) => one === list[index]) && cut.flat().length === list.length;
      return isWhole && cut.every((part) => part.length === 1 || (part.length > 1 && bytes(part) <= MIB));
    }),
    { numRuns: 10 },
  );
});
