import test from 'ava';
import { zstdCompressSync } from 'node:zlib';
import { BfcError } from '../../../../src/integrations/bfc/errors.ts';
import { BfcReader, openBfc } from '../../../../src/integrations/bfc/reader.ts';
import { verifyBfc } from '../../../../src/integrations/bfc/verify.ts';
import { type Part, type Whole, assemble, crcOf, memoryFile } from '../../../fixtures/bfc/assemble.ts';

const BIG = Buffer.from(
  Array.from({ length: 200 }, (_, line) => `line ${String(line).padStart(6, '0')} of a compressible file\n`).join(''),
);

async function bytesOf(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}

const file = (path: string, text = 'hello\n'): Part => ({ path, type: 1, content: Buffer.from(text) });
const bomb = zstdCompressSync(Buffer.alloc(2_000_000));
const frame = zstdCompressSync(BIG);
const zstd = (content: Buffer, original = BIG): Part => ({ path: 'z', type: 1, content, original, comp: 1 });

/** Files that are refused when they are opened. */
const HOSTILE: [what: string, parts: Part[], whole: Whole, problem: BfcError['problem'], message: RegExp][] = [
  ['another magic', [], { header: (bytes) => bytes.write('BFCFv2') }, 'not-bfc', /is not a BFC file/],
  ['no footer', [], { footer: (bytes) => bytes.fill(0) }, 'truncated', /the end of the file is missing; copy it again/],
  [
    'an index before the file',
    [],
    { footer: (b) => b.writeBigUInt64LE(0n, 20) },
    'malformed',
    /not where the footer says/,
  ],
  [
    'an index behind the file',
    [],
    { footer: (b) => b.writeBigUInt64LE(2n ** 63n, 20) },
    'malformed',
    /not where the footer says/,
  ],
  ['an index that overflows', [], { footer: (b) => b.fill(0xff, 8, 16).fill(0xff, 20, 28) }, 'malformed', /not where/],
  [
    'a footer with a gap',
    [],
    { footer: (b) => b.writeBigUInt64LE(4095n, 20) },
    'malformed',
    /not where the footer says/,
  ],
  ['a damaged index', [], { footer: (b) => b.writeUInt32LE(1, 16) }, 'damaged', /offset 4096: the index is damaged/],
  ['another version', [], { index: (b) => b.fill(2, 0, 1) }, 'unsupported', /unknown version 2/],
  [
    'four thousand million entries',
    [],
    { index: (b) => b.fill(0xff, 4) },
    'malformed',
    /the 4294967295 entries that it announces/,
  ],
  [
    'bytes behind the entries',
    [file('a')],
    { index: (b) => Buffer.concat([b, b.subarray(0, 8)]) },
    'malformed',
    /entries that it announces/,
  ],
  ['fewer entries', [file('a')], { index: (b) => b.fill(2, 4, 5) }, 'malformed', /the 2 entries that it announces/],
  [
    'a path beyond the index',
    [file('a')],
    { index: (b) => b.fill(0xff, 8, 12) },
    'malformed',
    /entries that it announces/,
  ],
  [
    'the layout of 1.0.0',
    [file('ab')],
    { index: (b) => Buffer.concat([b.subarray(0, 8 + 4 + 2 + 32), b.subarray(8 + 4 + 2 + 36)]) },
    'unsupported',
    /format of bfc 1\.0\.0/,
  ],
  ['an empty path', [file('')], {}, 'name', /the path is empty/],
  [
    'an absolute path',
    [file('/etc/passwd')],
    {},
    'name',
    /"\/etc\/passwd": at offset \d+: the path has an empty component/,
  ],
  ['a slash at the end', [file('a/')], {}, 'name', /a slash at an end/],
  ['two slashes', [file('a//b')], {}, 'name', /an empty component/],
  ['a path upwards', [file('a/../../b')], {}, 'name', /the component "\.\."/],
  ['a path to itself', [file('a/./b')], {}, 'name', /the component "\."/],
  ['a NUL', [file('a\0b')], {}, 'name', /a NUL byte/],
  ['a long path', [{ ...file('a'), indexPath: 'x'.repeat(65_536) }], {}, 'name', /longer than 65535 bytes/],
  ['a path twice', [file('a'), file('a')], {}, 'malformed', /"a": at offset \d+: the index has the path twice/],
  ['no order', [file('b'), file('a')], { unsorted: true }, 'malformed', /is not sorted by path/],
  ['a device', [{ ...file('a'), mode: 0o020644 }], {}, 'malformed', /neither a file, a directory nor a symlink/],
  ['strange mode bits', [{ ...file('a'), mode: 0x10000 | 0o100644 }], {}, 'malformed', /neither a file/],
  ['unknown compression', [{ ...file('a'), comp: 2 }], {}, 'malformed', /compressed in an unknown way/],
  ['unknown encryption', [{ ...file('a'), enc: 2 }], {}, 'malformed', /encrypted in an unknown way/],
  [
    'an object in the header',
    [{ ...file('a'), tail: (b) => b.writeBigUInt64LE(0n, 0) }],
    {},
    'malformed',
    /not between the header and the index/,
  ],
  [
    'an object in the index',
    [{ ...file('a'), tail: (b) => b.writeBigUInt64LE(1000n, 8) }],
    {},
    'malformed',
    /not between/,
  ],
  ['an object that overflows', [{ ...file('a'), tail: (b) => b.fill(0xff, 0, 16) }], {}, 'malformed', /not between/],
  [
    'overlapping objects',
    [file('a'), { ...file('b'), tail: (b) => b.writeBigUInt64LE(4096n + 16n, 0) }],
    {},
    'malformed',
    /offset 4112: two objects overlap/,
  ],
  [
    'one object twice',
    [file('a'), { ...file('b'), tail: (b) => b.writeBigUInt64LE(4096n, 0) }],
    {},
    'malformed',
    /overlap/,
  ],
  [
    'an object without room',
    [{ ...file('a'), tail: (b) => b.writeBigUInt64LE(41n, 8) }],
    {},
    'malformed',
    /sizes do not fit/,
  ],
  [
    'a size of its own',
    [{ ...file('a'), tail: (b) => b.writeBigUInt64LE(7n, 36) }],
    {},
    'malformed',
    /sizes do not fit/,
  ],
  [
    'a size without end',
    [zstd(frame), { ...zstd(frame), path: 'y', tail: (b) => b.fill(0xff, 36, 44) }],
    {},
    'malformed',
    /sizes do not fit/,
  ],
  [
    'no room for a tag',
    [{ ...file('a'), enc: 1, content: Buffer.alloc(27), original: Buffer.alloc(0) }],
    {},
    'malformed',
    /sizes do not fit/,
  ],
  [
    'a directory with content',
    [{ path: 'd', type: 2, content: Buffer.alloc(16) }],
    {},
    'malformed',
    /sizes do not fit/,
  ],
  ['a compressed directory', [{ path: 'd', type: 2, comp: 1 }], {}, 'malformed', /a directory with compressed/],
  [
    'an encrypted symlink',
    [{ path: 'l', type: 3, content: Buffer.alloc(30), enc: 1 }],
    {},
    'malformed',
    /a symlink with/,
  ],
  ['a symlink to nothing', [{ path: 'l', type: 3 }], {}, 'malformed', /target has 0 bytes/],
  [
    'a symlink too long',
    [{ path: 'l', type: 3, content: Buffer.alloc(4096, 'x') }],
    {},
    'malformed',
    /target has 4096 bytes/,
  ],
];

for (const [what, parts, whole, problem, message] of HOSTILE) {
  test(`refuses a file with ${what}`, async (t) => {
    const error = await t.throwsAsync(BfcReader.of(memoryFile(assemble(parts, whole))), {
      instanceOf: BfcError,
      message,
    });
    t.is(error?.problem, problem);
    t.true(error?.message.startsWith('"memory.bfc":'));
  });
}

test('refuses what is cut off, too short or of a wrong header', async (t) => {
  const whole = assemble([file('a')]);
  const problems = new Map<number, string>();
  for (let length = 0; length < whole.length; length++) {
    const error = await t.throwsAsync(BfcReader.of(memoryFile(whole.subarray(0, length))), { instanceOf: BfcError });
    problems.set(length, error?.problem ?? '');
  }
  t.deepEqual([...new Set(problems.values())], ['not-bfc', 'truncated']);
  t.is(problems.get(7), 'not-bfc');
  t.is(problems.get(8), 'truncated');
  const flipped = Buffer.from(whole);
  flipped.writeUInt8(1, 4000);
  await t.throwsAsync(BfcReader.of(memoryFile(flipped)), { message: /offset 8: the header is damaged/ });
  const mixed = assemble([file('a')], {
    variant: 'standard',
    footer: (b) => b.writeUInt32LE(crcOf('raw', Buffer.from('')), 16),
  });
  await t.throwsAsync(BfcReader.of(memoryFile(mixed)), { message: /the index is damaged/ });
  await t.throwsAsync(BfcReader.of(memoryFile(whole), { limits: { maxIndexBytes: 50 } }), {
    message: /its index has 61 bytes; at most 50/,
  });
  await t.throwsAsync(openBfc('/dev/null'), { message: /is not a regular file/ });
  await t.throwsAsync(openBfc('/nowhere'), { message: /path: "\/nowhere" cannot be read/ });
});

/** Files whose entry opens, and is refused when it is read. */
const BAD: [what: string, part: Part, problem: BfcError['problem'], message: RegExp][] = [
  [
    'another type',
    { ...file('z'), object: (b) => b.fill(2, 0, 1) },
    'malformed',
    /"z": at offset 4204: its header and the index disagree in the type/,
  ],
  ['another compression', { ...file('z'), object: (b) => b.fill(1, 1, 2) }, 'malformed', /disagree in the compression/],
  ['a reserved byte', { ...file('z'), object: (b) => b.fill(1, 3, 4) }, 'malformed', /disagree in the reserved byte/],
  ['another name', { ...file('z'), object: (b) => b.write('y', 40) }, 'malformed', /disagree in the name/],
  ['padding with data', { ...file('z'), object: (b) => b.fill(1, 41, 42) }, 'malformed', /disagree in the padding/],
  ['another mode', { ...file('z'), object: (b) => b.fill(0, 8, 9) }, 'malformed', /disagree in the mode/],
  [
    'another time',
    { ...file('z'), object: (b) => b.fill(1, 12, 13) },
    'malformed',
    /disagree in the modification time/,
  ],
  ['another size', { ...file('z'), object: (b) => b.fill(0xff, 20, 28) }, 'malformed', /disagree in the size/],
  [
    'another stored size',
    { ...file('z'), object: (b) => b.fill(0xff, 28, 36) },
    'malformed',
    /disagree in the stored size/,
  ],
  ['another checksum', { ...file('z'), object: (b) => b.fill(0, 36, 40) }, 'malformed', /disagree in the checksum/],
  [
    'changed content',
    { ...file('z'), object: (b) => b.write('j', 48) },
    'damaged',
    /its content has the checksum [0-9a-f]{8}, not 6217a434/,
  ],
  [
    'a changed target',
    { path: 'z', type: 3, content: Buffer.from('to'), object: (b) => b.write('T', 48) },
    'damaged',
    /checksum/,
  ],
  [
    'data behind a target',
    { path: 'z', type: 3, content: Buffer.from('to'), object: (b) => b.fill(1, 60) },
    'malformed',
    /padding behind its target/,
  ],
  ['no frame', zstd(Buffer.alloc(50)), 'damaged', /no zstd frame/],
  ['an empty frame', zstd(Buffer.alloc(0)), 'damaged', /no zstd frame/],
  ['half a frame', zstd(frame.subarray(0, -4)), 'damaged', /compressed content is damaged/],
  ['two frames', zstd(Buffer.concat([frame, frame])), 'damaged', /compressed content is damaged/],
  ['junk behind a frame', zstd(Buffer.concat([frame, Buffer.from('junk')])), 'damaged', /damaged/],
  ['a frame of another size', zstd(frame, BIG.subarray(1)), 'damaged', /has another size than it says/],
  ['a frame that lies', zstd(lyingFrame(frame), BIG.subarray(0, 6999)), 'damaged', /another size|damaged/],
  ['other content', zstd(frame, Buffer.alloc(BIG.length)), 'damaged', /checksum/],
  [
    'a bomb',
    zstd(bomb, Buffer.alloc(2_000_000)),
    'limit',
    /compressed from 2000000, which is more than 20 times as much/,
  ],
];

/** A frame that announces one byte less than it has. */
function lyingFrame(bytes: Buffer): Buffer {
  const changed = Buffer.from(bytes);
  changed.writeUInt16LE(changed.readUInt16LE(5) - 1, 5);
  return changed;
}

for (const [what, part, problem, message] of BAD) {
  test(`refuses an entry with ${what}`, async (t) => {
    const limits = { maxRatio: 20, unsuspiciousBytes: 1_000_000 };
    await using reader = await BfcReader.of(memoryFile(assemble([file('a'), file('zz'), part])), { limits });
    const error = await t.throwsAsync(bytesOf(reader.read(reader.get('z'))), { instanceOf: BfcError, message });
    t.is(error?.problem, problem);
    const { failed, problems, entries } = await verifyBfc(reader);
    t.deepEqual([failed, problems[0]?.message, entries], [1, error?.message, 3]);
    t.is((await bytesOf(reader.read(reader.get('a')))).toString(), 'hello\n');
  });
}

test('verify finds what is below a file, directories, and bytes of nobody', async (t) => {
  const parts: Part[] = [
    file('a'),
    { path: 'a/b', type: 2 },
    { path: 'd', type: 2, object: (b) => b.fill(1, 3, 4), gap: 10 },
    { path: 'e/f', type: 3, content: Buffer.from('x') },
  ];
  await using reader = await BfcReader.of(memoryFile(assemble(parts)));
  const { problems, unusedBytes } = await verifyBfc(reader);
  t.is(unusedBytes, 10);
  t.regex(problems[0]?.message ?? '', /"a\/b": is below a file/);
  t.regex(problems[1]?.message ?? '', /"d": at offset \d+: .* reserved byte/);
  t.is(problems.length, 2);
});
