import test from 'ava';
import { createHash, randomBytes } from 'node:crypto';
import { ThreadedSha256 } from '../../../../src/utils/hash/threaded-sha256.ts';

test('many hashes at once give what node:crypto gives, whatever the chunks', async (t) => {
  const one = async (size: number) => {
    const bytes = randomBytes(size);
    using hash = new ThreadedSha256();
    for (let at = 0; at < size;) {
      const length = 1 + Math.floor(Math.random() * 300_000);
      await hash.update(bytes.subarray(at, at + length));
      at += length;
    }
    t.is(await hash.hex(), createHash('sha256').update(bytes).digest('hex'));
  };
  await Promise.all([0, 1, 1000, 1_000_000, 12_000_000].map(one));
});

test('the caller may use its buffer again at once, and a forgotten hash does not disturb the next', async (t) => {
  const buffer = Buffer.from('first');
  using hash = new ThreadedSha256();
  const taken = hash.update(buffer);
  buffer.fill('x');
  await taken;
  {
    using forgotten = new ThreadedSha256();
    await forgotten.update(Buffer.from('never asked for'));
  }
  t.is(await hash.hex(), createHash('sha256').update('first').digest('hex'));
});
