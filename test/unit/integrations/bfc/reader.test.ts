import test from 'ava';
import { createCipheriv, createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { constants, zstdCompressSync } from 'node:zlib';
import { BfcError } from '../../../../src/integrations/bfc/errors.ts';
import { contentKey, readKeyFile } from '../../../../src/integrations/bfc/key.ts';
import { BfcReader, type OpenOptions, openBfc } from '../../../../src/integrations/bfc/reader.ts';
import { verifyBfc } from '../../../../src/integrations/bfc/verify.ts';
import { LaneCrc } from '../../../../src/integrations/bfc/format/crc32c-lanes.ts';
import { crc32c } from '../../../../src/integrations/bfc/format/crc32c.ts';
import { type Part, assemble, crcOf, memoryFile } from '../../../fixtures/bfc/assemble.ts';

const fixture = (name: string) => fileURLToPath(new URL(`../../../fixtures/bfc/${name}`, import.meta.url));
const KEY = Buffer.alloc(32, 'K');
const PASSWORD = { kind: 'password', password: Buffer.from('secret-pass') } as const;

const BIG = Buffer.from(
  Array.from({ length: 200 }, (_, line) => `line ${String(line).padStart(6, '0')} of a compressible file\n`).join(''),
);
/** The inputs of the recorded files, which the original tool made; of all the time is the same. */
const FIRST = { 'a/h.txt': 'hello\n', 'a/l': 'h.txt', 'a/z.txt': 'abcdefgh'.repeat(64) };
const SECOND = {
  'app/big.txt': BIG.toString(),
  'app/empty': '',
  'app/hello.txt': 'hello\n',
  'app/sub/link': '../hello.txt',
  'oci-layout': '{"imageLayoutVersion":"1.0.0"}',
};
const RECORDED: [name: string, content: Record<string, string>, options: OpenOptions, encrypted: boolean][] = [
  ['t-plain.bfc', FIRST, {}, false],
  ['t-plain-swcrc.bfc', FIRST, {}, false],
  ['t-zstd.bfc', FIRST, {}, false],
  ['t-key.bfc', FIRST, { secret: { kind: 'key', key: KEY } }, true],
  ['t-pw.bfc', FIRST, { secret: PASSWORD }, true],
  ['plain.bfc', SECOND, {}, false],
  ['plain-swcrc.bfc', SECOND, {}, false],
  ['zstd.bfc', SECOND, {}, false],
  ['zstd-key.bfc', SECOND, { secret: { kind: 'key', key: KEY } }, true],
  ['pw.bfc', SECOND, { secret: PASSWORD }, true],
];

async function bytesOf(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}

for (const [name, expected, options, encrypted] of RECORDED) {
  test(`reads ${name}, which the original made`, async (t) => {
    await using reader = await openBfc(fixture(name), options);
    t.is(reader.header.crc, name.includes('swcrc') ? 'standard' : 'raw');
    const found: Record<string, string> = {};
    for (const entry of reader.index) {
      t.is(entry.mtime, 1_704_164_645_000_000_000n);
      t.deepEqual(reader.get(entry.path), entry);
      if (entry.type === 'directory') continue;
      found[entry.path] = (await bytesOf(reader.read(entry))).toString();
      if (entry.type !== 'file') continue;
      t.is(entry.encrypted, encrypted);
      t.is(entry.mode, entry.path === 'app/hello.txt' ? 0o755 : 0o644);
      for (const [offset, length] of [
        [0, entry.size],
        [Math.floor(entry.size / 3), Math.floor(entry.size / 2)],
        [entry.size, 0],
      ] as const) {
        const range = await bytesOf(reader.range(entry, offset, length));
        t.is(range.toString(), expected[entry.path]!.slice(offset, offset + length));
      }
    }
    t.deepEqual(found, expected);
    const verified = await verifyBfc(reader);
    const bytes = await bytesInFiles(reader);
    t.like(verified, { failed: 0, problems: [], unusedBytes: 0, entries: reader.index.count, bytes });
  });
}

async function bytesInFiles(reader: BfcReader): Promise<number> {
  let sum = 0;
  for (const { type, size } of reader.index) if (type === 'file') sum += size;
  return Promise.resolve(sum);
}

test('derives the key and the checksums as the original does', async (t) => {
  const salt = Buffer.from('d1a992bc5d6d513a1aa92061b531623ad22f0f4d3ebfd814d0f4e6aacb89ca65', 'hex');
  const key = '7487379a5dbe87870bdcd01024997e173db44addb4a35ad9f4f85c6eb4b5f91a';
  t.is((await contentKey(PASSWORD, salt)).toString('hex'), key);
  t.deepEqual(await readKeyFile(fixture('key.bin')), { kind: 'key', key: KEY });
  await t.throwsAsync(readKeyFile(fixture('none')), { message: /key file: ".*none" cannot be read/ });
  t.is(crc32c('raw', Buffer.from('hello')), 0xdf03cd79);
  t.is(crc32c('standard', Buffer.from('hello\n')), 0x353dd8be);
  const bytes = createHash('sha512').update('x').digest();
  for (let from = 0; from < 9; from++) {
    for (const variant of ['raw', 'standard'] as const) {
      for (const end of [from, from + 1, from + 2, from + 7, bytes.length]) {
        const part = bytes.subarray(from, end);
        t.is(crc32c(variant, part), crcOf(variant, part), `${from} to ${end}`);
      }
    }
  }
});

test('computes checksums by vectors as byte by byte', (t) => {
  const bytes = createCipheriv('chacha20', KEY, Buffer.alloc(16)).update(Buffer.alloc(300_000));
  const lanes = new LaneCrc(Int32Array.from({ length: 256 }, (_, byte) => crcOf('raw', Buffer.of(byte))));
  for (const [from, to] of [
    [0, 16_384],
    [3, 100_000],
    [1, bytes.length],
  ] as const) {
    const part = bytes.subarray(from, to);
    const before = Buffer.of(1, 2, 3, 4);
    const { state, taken } = lanes.advance(crcOf('raw', before), part);
    t.true(part.length - taken < 16_384);
    t.is(state >>> 0, crcOf('raw', Buffer.concat([before, part.subarray(0, taken)])));
  }
  // After as many bytes they are used.
  const long = Buffer.alloc(2 ** 20, bytes);
  for (let mebibytes = 0; mebibytes < 9; mebibytes++) crc32c('raw', long);
  t.is(crc32c('raw', bytes.subarray(1)), crcOf('raw', bytes.subarray(1)));
  t.is(crc32c('standard', bytes), crcOf('standard', bytes));
});

test('says which key is missing, of the wrong kind, or wrong', async (t) => {
  const wrong = { kind: 'key', key: Buffer.alloc(32) } as const;
  const cases: [string, OpenOptions, RegExp][] = [
    ['t-key.bfc', {}, /is encrypted with a key file$/],
    ['t-key.bfc', { secret: PASSWORD }, /is encrypted with a key file, not with a password/],
    ['t-key.bfc', { secret: wrong }, /cannot be decrypted: the key or password is wrong, or the entry was changed/],
    ['t-pw.bfc', {}, /is encrypted with a password$/],
    ['t-pw.bfc', { secret: wrong }, /is encrypted with a password, not with a key file/],
    ['t-pw.bfc', { secret: { kind: 'password', password: Buffer.from('no') } }, /cannot be decrypted/],
  ];
  for (const [name, options, message] of cases) {
    await using reader = await openBfc(fixture(name), options);
    t.is(reader.index.count, 4);
    await t.throwsAsync(bytesOf(reader.read(reader.get('a/h.txt'))), { message });
    await t.throwsAsync(verifyBfc(reader), { message });
    const error = await t.throwsAsync(reader.checkKey(), { instanceOf: BfcError });
    t.is(error?.problem, 'key');
  }
});

/** An encrypted entry, compressed before or not. */
function encrypted(path: string, original: Buffer, compressed: boolean, aad = path): Part {
  const nonce = Buffer.alloc(12, 3);
  const cipher = createCipheriv('chacha20-poly1305', KEY, nonce, { authTagLength: 16 });
  cipher.setAAD(Buffer.from(aad), { plaintextLength: 0 });
  const plain = compressed ? zstdCompressSync(original, { params: { [constants.ZSTD_c_checksumFlag]: 0 } }) : original;
  const bytes = Buffer.concat([cipher.update(plain), cipher.final()]);
  const content = Buffer.concat([nonce, bytes, cipher.getAuthTag()]);
  return { path, type: 1, content, original, comp: compressed ? 1 : 0, enc: 1 };
}

const LONG = Buffer.alloc(2_500_000, createHash('sha512').update('long').digest());
const secret = { kind: 'key', key: KEY } as const;

test('gives out no byte of long encrypted content whose tag is wrong', async (t) => {
  for (const compressed of [false, true]) {
    for (const at of [0, 13, -1]) {
      const part = encrypted('x', LONG, compressed);
      const content = Buffer.from(part.content ?? '');
      content.writeUInt8(content.at(at)! ^ 1, at < 0 ? content.length + at : at);
      // Another content for the whole, so that only the tag speaks against it.
      await using reader = await BfcReader.of(memoryFile(assemble([{ ...part, content }])), { secret });
      const entry = reader.get('x');
      const received: number[] = [];
      const take = async (chunks: AsyncIterable<Buffer>) => {
        for await (const chunk of chunks) received.push(chunk.length);
      };
      await t.throwsAsync(take(reader.read(entry)), { message: /cannot be decrypted/ });
      await t.throwsAsync(take(reader.range(entry, 0, 100)), { message: /cannot be decrypted/ });
      t.deepEqual(received, []);
      await t.throwsAsync(take(reader.readStaged(entry)), { instanceOf: BfcError });
    }
  }
});

test('refuses encrypted content of another path', async (t) => {
  const part = encrypted('x', Buffer.from('hello\n'), false, 'y');
  await using reader = await BfcReader.of(memoryFile(assemble([part])), { secret });
  await t.throwsAsync(bytesOf(reader.read(reader.get('x'))), { message: /the entry was changed/ });
});

test('reads ranges of long content, and of plain content nothing else', async (t) => {
  const parts: Part[] = [
    { path: 'p', type: 1, content: LONG },
    { path: 'z', type: 1, content: zstdCompressSync(LONG), original: LONG, comp: 1 },
    encrypted('e', LONG, false),
    encrypted('ze', LONG, true),
  ];
  const opened = memoryFile(assemble(parts));
  await using reader = await BfcReader.of(opened, { secret });
  for (const entry of reader.index) {
    for (const [offset, length] of [
      [0, 1],
      [63, 2],
      [1_000_001, 700_000],
      [LONG.length - 5, 5],
      [LONG.length, 0],
    ] as const) {
      opened.reads.length = 0;
      const range = await bytesOf(reader.range(entry, offset, length));
      t.true(range.equals(LONG.subarray(offset, offset + length)), `${entry.path} ${offset}`);
      const read = opened.reads.reduce((sum, [, count]) => sum + count, 0);
      if (entry.path === 'p') t.is(read, 48 + length);
      // The first range of an encrypted entry reads all of it once.
      if (entry.path === 'e' && offset > 0) t.is(read, 48 + 12 + length);
    }
    t.true((await bytesOf(reader.read(entry))).equals(LONG));
    for (const [offset, length] of [
      [-1, 1],
      [0, LONG.length + 1],
      [0.5, 1],
    ] as const) {
      await t.throwsAsync(bytesOf(reader.range(entry, offset, length)), { message: /has no .* bytes from/ });
    }
  }
});

test('finds entries by path, and those below a directory', async (t) => {
  const names = ['a', 'a-b', 'a/b', 'a/b/c', 'ab', '\xc3\xa4'];
  await using reader = await BfcReader.of(memoryFile(assemble(names.map((path) => ({ path, type: 2 as const })))));
  t.deepEqual(
    [...reader.index].map(({ path }) => path),
    names,
  );
  t.deepEqual(
    [...reader.index.below('a')].map(({ path }) => path),
    ['a/b', 'a/b/c'],
  );
  t.is(reader.index.find('a/c'), undefined);
  t.is(reader.index.find('zz'), undefined);
  t.throws(() => reader.get('\xc3\xb6'), { instanceOf: BfcError, message: /entry "ö": does not exist/ });
  await t.throwsAsync(bytesOf(reader.read(reader.get('a'))), { message: /"a": .* is a directory/ });
});

test('reading stops with its signal, and when a file becomes shorter', async (t) => {
  const bytes = assemble([{ path: 'p', type: 1, content: LONG }]);
  const abort = new AbortController();
  await using reader = await BfcReader.of(memoryFile(bytes));
  const reading = reader.read(reader.get('p'), { signal: abort.signal });
  await reading.next();
  abort.abort(new Error('enough'));
  await t.throwsAsync(reading.next(), { message: 'enough' });
  const shrinking = memoryFile(bytes);
  await using other = await BfcReader.of(shrinking);
  shrinking.read = (offset, length) => Promise.resolve(bytes.subarray(0, 9000).subarray(offset, offset + length));
  await t.throwsAsync(bytesOf(other.read(other.get('p'))), { message: /offset 9000: the file has become shorter/ });
  t.true((await readFile(fixture('key.bin'))).equals(KEY));
});
