import test, { type ExecutionContext } from 'ava';
import { execFileSync } from 'node:child_process';
import { createCipheriv, createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { BfcError } from '../../../../src/integrations/bfc/errors.ts';
import { contentKey } from '../../../../src/integrations/bfc/key.ts';
import { openBfc } from '../../../../src/integrations/bfc/reader.ts';
import { packDirectory } from '../../../../src/integrations/bfc/pack.ts';
import { verifyBfc } from '../../../../src/integrations/bfc/verify.ts';
import { type BfcWriter, type CreateOptions, createBfc } from '../../../../src/integrations/bfc/writer.ts';
import { MTIME, type Part, assemble } from '../../../fixtures/bfc/assemble.ts';

const KEY = Buffer.alloc(32, 'K');
const NOISE = createHash('sha512').update('noise').digest();
const Z = Buffer.from('abcdefgh'.repeat(64));
const at = (mode: number) => ({ mode, mtime: MTIME });

async function directory(t: ExecutionContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'bfc-writer-'));
  t.teardown(() => rm(path, { recursive: true }));
  return path;
}

/** In another order than the index has. */
async function fill(writer: BfcWriter): Promise<void> {
  await writer.addSymlink('a/l', Buffer.from('h.txt'), at(0o777));
  await writer.addDirectory('a', at(0o755));
  await writer.addFile('a/h.txt', { ...at(0o644), size: 6 }, [
    Buffer.from('hel'),
    Buffer.alloc(0),
    Buffer.from('lo\n'),
  ]);
  await writer.addFile('a/z.txt', { ...at(0o644), size: Z.length }, [Z]);
  await writer.addFile('a/noise', { ...at(0o600), size: NOISE.length }, [NOISE]);
  await writer.addFile('a/\xc3\xa4', { ...at(0o4755), size: 0 }, []);
}

const files: [path: string, original: Buffer, mode: number][] = [
  ['a/h.txt', Buffer.from('hello\n'), 0o100644],
  ['a/z.txt', Z, 0o100644],
  ['a/noise', NOISE, 0o100600],
  ['a/\xc3\xa4', Buffer.alloc(0), 0o104755],
];

const secrets = {
  none: undefined,
  key: { kind: 'key', key: KEY },
  password: { kind: 'password', password: Buffer.from('pw') },
} as const;

for (const crc of ['raw', 'standard'] as const) {
  for (const [name, secret] of Object.entries(secrets)) {
    for (const compressionLevel of [undefined, 3]) {
      test(`writes the bytes of the format: ${crc}, secret ${name}, level ${compressionLevel ?? 'none'}`, async (t) => {
        const path = join(await directory(t), 'x.bfc');
        await using writer = await createBfc(path, { crc, secret, compressionLevel });
        await fill(writer);
        t.deepEqual(await writer.finish(), { size: (await readFile(path)).length, entries: 6 });
        const written = await readFile(path);
        const uuid = written.subarray(24, 40);
        const salt = written.subarray(40, 72);
        t.is(
          name === 'password',
          salt.some((byte) => byte !== 0),
        );
        t.is(uuid.readUInt8(6) >>> 4, 4);
        const key = secret && (await contentKey(secret, salt));
        const parts: Part[] = [
          { path: 'a/l', type: 3, content: Buffer.from('h.txt') },
          { path: 'a', type: 2 },
        ];
        for (const [name, original, mode] of files) {
          const squeezed = zstdCompressSync(original);
          const comp = compressionLevel !== undefined && original === Z ? 1 : 0;
          let content = comp === 1 ? squeezed : original;
          if (key) {
            // Where this object's nonce is: behind its header and name, 16-aligned from its beginning.
            const object = assemble(parts, { variant: crc }).indexOf(indexHead(parts.length), 4096);
            const begin = object + 40 + name.length + ((16 - ((40 + name.length) % 16)) % 16);
            const nonce = written.subarray(begin, begin + 12);
            const cipher = createCipheriv('chacha20-poly1305', key, nonce, { authTagLength: 16 });
            cipher.setAAD(Buffer.from(name, 'latin1'), { plaintextLength: 0 });
            content = Buffer.concat([nonce, cipher.update(content), cipher.final(), cipher.getAuthTag()]);
          }
          parts.push({ path: name, type: 1, content, original, comp, enc: key ? 1 : 0, mode });
        }
        const features = (compressionLevel === undefined ? 0 : 1) | (secret ? 2 : 0);
        const expected = assemble(parts, { variant: crc, uuid, salt, features });
        t.true(written.equals(expected));
        await using reader = await openBfc(path, { secret });
        t.like(await verifyBfc(reader), { entries: 6, failed: 0, unusedBytes: 0 });
      });
    }
  }
}

/** How an index of so many entries begins. */
function indexHead(count: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(1, 0);
  bytes.writeUInt32LE(count, 4);
  return bytes;
}

/** 5 MiB whose beginning does compress, or does not. */
async function* long(begin: Buffer): AsyncGenerator<Buffer> {
  yield begin;
  for (let left = 5 * 2 ** 20 - begin.length; left > 0;) {
    await turn();
    const chunk = Buffer.alloc(Math.min(left, 70_000), NOISE);
    left -= chunk.length;
    yield chunk;
  }
}

const random = (bytes: number) => createCipheriv('chacha20', KEY, Buffer.alloc(16)).update(Buffer.alloc(bytes));

test('long content is streamed; what does not compress is stored', async (t) => {
  const path = join(await directory(t), 'x.bfc');
  for (const secret of [undefined, secrets.key]) {
    await using writer = await createBfc(path, { compressionLevel: 3, secret, replaces: true });
    const size = 5 * 2 ** 20;
    await writer.addFile('long', { ...at(0o644), size }, long(Buffer.alloc(100_000)));
    await writer.addFile('random', { ...at(0o644), size }, long(random(2 ** 20)));
    await writer.finish();
    await using reader = await openBfc(path, { secret });
    for (const entry of reader.index) {
      t.is(entry.compressed, entry.path === 'long');
      const parts: Buffer[] = [];
      for await (const chunk of reader.read(entry)) parts.push(chunk);
      const expected: Buffer[] = [];
      for await (const chunk of long(entry.path === 'long' ? Buffer.alloc(100_000) : random(2 ** 20)))
        expected.push(chunk);
      t.true(Buffer.concat(parts).equals(Buffer.concat(expected)));
      if (!entry.compressed || secret) continue;
      // One frame with the size in it, as the original needs it.
      const frame = (await readFile(path)).subarray(entry.offset + 48, entry.offset + entry.objectSize);
      t.is(zstdDecompressSync(frame, { rejectGarbageAfterEnd: true }).length, size);
      t.is(frame.readUInt8(4) & 0xc4, 0x80);
    }
    t.is((await verifyBfc(reader)).failed, 0);
  }
});

const REFUSED: [
  what: string,
  add: (writer: BfcWriter) => void | Promise<void>,
  problem: BfcError['problem'],
  message: RegExp,
][] = [
  ['an absolute path', (w) => w.addDirectory('/a', at(0)), 'name', /"\/a": the path has an empty component/],
  ['a path upwards', (w) => w.addDirectory('a/..', at(0)), 'name', /the component "\.\."/],
  ['a name with a dot at its end', (w) => w.addDirectory('a.', at(0)), 'name', /"a\.": the path ends with "\."/],
  ['a NUL', (w) => w.addDirectory('a\0', at(0)), 'name', /a NUL byte/],
  ['a long path', (w) => w.addDirectory('a'.repeat(65_536), at(0)), 'name', /longer than 65535 bytes/],
  ['a path twice', (w) => w.addDirectory('d/e', at(0)), 'exists', /"d\/e": is there twice/],
  ['a path below a file', (w) => w.addDirectory('f/x/y', at(0)), 'name', /"f\/x\/y": is below a file/],
  ['a path below a symlink', (w) => w.addDirectory('l/x', at(0)), 'name', /"l\/x": is below a symlink/],
  [
    'a file in the place of a directory',
    (w) => w.addFile('d', { ...at(0), size: 0 }, []),
    'exists',
    /a directory, too/,
  ],
  [
    'more content',
    (w) => w.addFile('x', { ...at(0), size: 1 }, [Buffer.alloc(2)]),
    'malformed',
    /"x": its content is longer than 1 bytes/,
  ],
  [
    'more content behind the first',
    (w) => w.addFile('x', { ...at(0), size: 1 }, [Buffer.alloc(1), Buffer.alloc(1)]),
    'malformed',
    /longer/,
  ],
  [
    'less content',
    (w) => w.addFile('x', { ...at(0), size: 9 }, [Buffer.alloc(2)]),
    'malformed',
    /ends 7 bytes before 9/,
  ],
  ['an empty target', (w) => w.addSymlink('x', Buffer.alloc(0), at(0o777)), 'name', /the target/],
  ['a target with a NUL', (w) => w.addSymlink('x', Buffer.alloc(1), at(0o777)), 'name', /the target/],
  ['a long target', (w) => w.addSymlink('x', Buffer.alloc(4096, 'x'), at(0o777)), 'name', /the target/],
  [
    'bits of a type',
    (w) => w.addDirectory('x', at(0o40755)),
    'unsupported',
    /its mode 16877 has more than permission bits/,
  ],
];

for (const [what, add, problem, message] of REFUSED) {
  test(`refuses to write ${what}, and leaves nothing`, async (t) => {
    const place = await directory(t);
    {
      await using writer = await createBfc(join(place, 'x.bfc'), { compressionLevel: 3 });
      await writer.addDirectory('d/e', at(0o755));
      await writer.addFile('f', { ...at(0o644), size: 0 }, []);
      await writer.addSymlink('l', Buffer.from('f'), at(0o777));
      const error = await t.throwsAsync(async () => add(writer), { instanceOf: BfcError, message });
      t.is(error?.problem, problem);
      await t.throwsAsync(writer.finish(), { message: /cannot be written, the writer is failed/ });
    }
    t.deepEqual(await readdir(place), []);
  });
}

test('a file has its name only when it is complete, and replaces only what it may', async (t) => {
  const place = await directory(t);
  const path = join(place, 'x.bfc');
  await writeFile(path, 'before');
  await t.throwsAsync(createBfc(path), { instanceOf: BfcError, message: /already exists/ });
  const write = async (options: CreateOptions) => {
    const writer = await createBfc(path, options);
    await writer.addFile('f', { ...at(0o644), size: 2 ** 21 }, [Buffer.alloc(2 ** 21)]);
    return writer;
  };
  await using writer = await write({ replaces: true });
  t.is(await readFile(path, 'utf8'), 'before');
  t.deepEqual(
    (await readdir(place)).filter((name) => !/^\.bfc-[0-9a-f-]{36}\.partial$/.test(name)),
    ['x.bfc'],
  );
  t.is((await readdir(place)).length, 2);
  await writer.finish();
  t.deepEqual(await readdir(place), ['x.bfc']);
  t.is((await readFile(path)).subarray(0, 6).toString(), 'BFCFv1');

  await rm(path);
  await using first = await write({});
  await using second = await write({});
  await first.finish();
  await t.throwsAsync(second.finish(), { instanceOf: BfcError, message: /already exists/ });
  await second.abort();
  t.deepEqual(await readdir(place), ['x.bfc']);
  await t.throwsAsync(createBfc(join(place, 'none/x.bfc')), { message: /cannot be created: ENOENT/ });
  await t.throwsAsync(createBfc(join(place, 'y.bfc'), { compressionLevel: 23 }), { message: /level 23/ });
  await t.throwsAsync(createBfc(join(place, 'y.bfc'), { compressionLevel: 1.5 }), { message: /level 1\.5/ });
  await mkdir(join(place, 'd'));
  await t.throwsAsync(createBfc(join(place, 'd')), { message: /already exists/ });
  t.deepEqual(await readdir(place), ['d', 'x.bfc']);
});

test('files are written and read side by side', async (t) => {
  const place = await directory(t);
  const names = ['a', 'b', 'c'].map((name) => join(place, name));
  const write = async (path: string) => {
    const mark = path.charCodeAt(path.length - 1);
    await using writer = await createBfc(path, { compressionLevel: 3 });
    for (let count = 0; count < 40; count++) {
      await turn();
      const content = Buffer.concat([Buffer.alloc(10_000), random(100_000).map((byte) => byte ^ count ^ mark)]);
      await writer.addFile(`${count}`, { ...at(0o644), size: content.length }, content);
    }
    await writer.finish();
  };
  await Promise.all(names.map(write));
  const readers = await Promise.all(names.map((name) => openBfc(name)));
  for (const { failed } of await Promise.all(readers.map((reader) => verifyBfc(reader)))) t.is(failed, 0);
  for (const reader of readers) await reader.close();
});

test('other versions of Node.js, whose streams are not known inside, write and read the same', async (t) => {
  const place = await directory(t);
  const module = (name: string) =>
    JSON.stringify(new URL(`../../../../src/integrations/bfc/${name}.ts`, import.meta.url));
  const script = `
    Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '26.0.0' } });
    const { createBfc } = await import(${module('writer')});
    const { packDirectory } = await import(${module('pack')});
    const { openBfc } = await import(${module('reader')});
    const { unpackBfc } = await import(${module('unpack')});
    await using writer = await createBfc('x.bfc', { compressionLevel: 3 });
    await packDirectory(writer, 'from');
    await writer.finish();
    await using reader = await openBfc('x.bfc');
    await unpackBfc(reader, 'to');`;
  await mkdir(join(place, 'from'));
  for (const name of ['a', 'b', 'c'])
    await writeFile(join(place, 'from', name), name.repeat(30_000) + random(50).toString('hex'));
  execFileSync(process.execPath, ['--input-type=module', '--eval', script], { cwd: place, timeout: 60_000 });
  await using writer = await createBfc(join(place, 'y.bfc'), { compressionLevel: 3 });
  await packDirectory(writer, join(place, 'from'));
  await writer.finish();
  // But for the header, which has an identifier of its own.
  const [other, known] = [await readFile(join(place, 'x.bfc')), await readFile(join(place, 'y.bfc'))];
  t.true(other.subarray(4096).equals(known.subarray(4096)));
  for (const name of ['a', 'b', 'c']) {
    t.true((await readFile(join(place, 'to', name))).equals(await readFile(join(place, 'from', name))));
  }
});

test('a source that fails ends the writing', async (t) => {
  const place = await directory(t);
  const writer = await createBfc(join(place, 'x.bfc'), { secret: secrets.key, compressionLevel: 1 });
  async function* failing() {
    yield Buffer.alloc(2 ** 21);
    await turn();
    throw new Error('the disk is gone');
  }
  await t.throwsAsync(async () => writer.addFile('f', { ...at(0o644), size: 2 ** 22 }, failing()), {
    message: 'the disk is gone',
  });
  await writer.abort();
  await writer.abort();
  t.deepEqual(await readdir(place), []);
});
