import test from 'ava';
import fc from 'fast-check';
import { buffer } from 'node:stream/consumers';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';
import { checkedStream } from '../../../../src/integrations/zfs/transfer/begin-record.ts';
import { framed, FrameReader, preamble } from '../../../../src/integrations/zfs/transfer/frames.ts';
import { formatHeader, parseHeader } from '../../../../src/integrations/zfs/transfer/header.ts';
import { planStreams } from '../../../../src/integrations/zfs/transfer/plan.ts';

async function* pieces(data: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < data.length; at += size) yield await Promise.resolve(data.subarray(at, at + size));
}

async function written(header: Buffer, streams: readonly Uint8Array[]): Promise<Buffer> {
  const parts = [preamble(header)];
  for (const stream of streams) parts.push(await buffer(framed(pieces(Buffer.from(stream), 100))));
  return Buffer.concat(parts);
}

/** The header and the streams; fails unless each digest was right and there was nothing more. */
async function read(data: Buffer, count: number, size: number): Promise<Buffer[]> {
  const reader = new FrameReader(pieces(data, size));
  const found = [await reader.header()];
  for (let index = 0; index < count; index++) {
    const { bytes, digest } = reader.stream();
    found.push(await buffer(bytes));
    if (digest() === undefined) throw new Error('no digest');
  }
  await reader.end();
  return found;
}

const bytes = fc.uint8Array({ maxLength: 400 });

test('Frames bring what was written, in pieces of any size', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      bytes,
      fc.array(bytes, { maxLength: 4 }),
      fc.integer({ min: 1, max: 500 }),
      async (header, streams, size) => {
        const data = await written(Buffer.from(header), streams);
        t.deepEqual(
          await read(data, streams.length, size),
          [header, ...streams].map((each) => Buffer.from(each)),
        );
      },
    ),
  );
});

test('A stream that was changed anywhere is refused', async (t) => {
  const isRefused = async (data: Buffer) => {
    const error: unknown = await read(data, 2, 64).catch((reason: unknown) => reason);
    return (
      error instanceof CriError &&
      (error.code === StatusCode.DATA_LOSS || error.code === StatusCode.FAILED_PRECONDITION)
    );
  };
  const data = await written(Buffer.from('{}'), [Buffer.alloc(150, 1), Buffer.alloc(20, 2)]);
  await fc.assert(
    fc.asyncProperty(fc.nat(data.length - 1), fc.integer({ min: 1, max: 255 }), async (at, mask) => {
      const changed = Buffer.from(data);
      changed[at] = (changed[at] ?? 0) ^ mask;
      return (await isRefused(changed)) && isRefused(data.subarray(0, at));
    }),
  );
  await fc.assert(fc.asyncProperty(bytes, (any) => isRefused(Buffer.from(any))));
  t.true(await isRefused(Buffer.concat([data, Buffer.from('x')])));
});

const DIGEST = `sha256:${'a'.repeat(64)}`;
const HEADER = {
  config: Buffer.from('{}\n'),
  manifest: Buffer.from([0xff, 0]),
  names: ['docker.io/library/a:1'],
  layers: [{ chainId: DIGEST, diffId: DIGEST, guid: 2n ** 64n - 1n, bytes: 5n, inodes: 0n }],
};

test('A header is read as it was written, and nothing else', async (t) => {
  t.deepEqual(parseHeader(formatHeader(HEADER)), HEADER);
  t.deepEqual(parseHeader(formatHeader({ ...HEADER, rootfs: { guid: 7n } })), { ...HEADER, rootfs: { guid: 7n } });
  const plain = JSON.parse(formatHeader(HEADER).toString()) as { layers: object[] };
  for (const [change, message] of [
    [{ layers: Array.from({ length: 501 }, () => plain.layers[0]) }, /layers: /],
    [{ layers: [{ ...plain.layers[0], guid: String(2n ** 64n) }] }, /layers\.0\.guid: is too large/],
    [{ layers: [{ ...plain.layers[0], chainId: '../x' }] }, /layers\.0\.chainId/],
    [{ config: '!' }, /config/],
    [{ names: Array.from({ length: 20_000 }, () => 'x') }, /too many values/],
  ] as const) {
    const data = Buffer.from(JSON.stringify({ ...plain, ...change }));
    t.throws(() => parseHeader(data), { code: StatusCode.DATA_LOSS, message });
  }
  await fc.assert(
    fc.asyncProperty(fc.jsonValue(), async (value) => {
      await Promise.resolve();
      t.throws(() => parseHeader(Buffer.from(JSON.stringify(value))), { code: StatusCode.DATA_LOSS });
    }),
  );
});

/** The first record of `zfs send`. */
function begin({ magic = 0x2f5bacbacn, info = 1n, type = 2, to = 11n, from = 10n } = {}): Buffer {
  const record = Buffer.alloc(312);
  record.writeBigUInt64LE(magic, 8);
  record.writeBigUInt64LE(info, 16);
  record.writeUInt32LE(type, 32);
  record.writeBigUInt64LE(to, 40);
  record.writeBigUInt64LE(from, 48);
  return record;
}

test('Only the expected snapshot reaches zfs receive', async (t) => {
  const passed = (record: Buffer, size = 100) =>
    buffer(checkedStream(pieces(Buffer.concat([record, Buffer.from('rest')]), size), { guid: 11n, from: 10n }));
  const good = Buffer.concat([begin(), Buffer.from('rest')]);
  t.deepEqual(await passed(begin()), good);
  t.deepEqual(await passed(begin(), 1000), good);
  for (const [what, record] of Object.entries({
    'another magic': begin({ magic: 5n }),
    'a package with properties': begin({ info: 2n }),
    'encrypted as on disk': begin({ info: 1n | (1n << 26n) }),
    'a volume': begin({ type: 3 }),
    'another snapshot': begin({ to: 12n }),
    'another origin': begin({ from: 0n }),
    'too short': begin().subarray(0, 200),
  })) {
    await t.throwsAsync(passed(record), { code: StatusCode.DATA_LOSS }, what);
  }
  const swapped = begin();
  swapped.writeBigUInt64BE(0x2f5bacbacn, 8);
  await t.throwsAsync(passed(swapped), { code: StatusCode.FAILED_PRECONDITION, message: /big-endian/ });
});

test('Streams are received where nothing present can replace them', (t) => {
  const layers = ['a', 'b', 'c'].map((chainId, index) => ({ chainId, guid: BigInt(index) }));
  const plan = (chains: string, guids: bigint[], hasRootfs = false) =>
    planStreams(layers, hasRootfs, {
      hasLayer: (chainId) => chains.includes(chainId),
      hasGuid: (guid) => guids.includes(guid),
    }).join(' ');
  t.is(plan('', []), 'layer layer layer');
  t.is(plan('abc', []), 'skip skip skip');
  t.is(plan('ab', [0n, 1n]), 'skip skip layer');
  t.is(plan('ab', [0n]), 'skip copy layer');
  t.is(plan('ab', []), 'copy copy layer');
  t.is(plan('ab', [1n]), 'skip skip layer');
  t.is(plan('abc', [], true), 'copy copy copy');
  t.is(plan('abc', [2n], true), 'skip skip skip');
});
