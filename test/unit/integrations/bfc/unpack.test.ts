import { execFileSync } from 'node:child_process';
import test, { type ExecutionContext } from 'ava';
import { appendFileSync } from 'node:fs';
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  readlink,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BfcError } from '../../../../src/integrations/bfc/errors.ts';
import { BfcReader, openBfc } from '../../../../src/integrations/bfc/reader.ts';
import { packDirectory } from '../../../../src/integrations/bfc/pack.ts';
import { unpackBfc } from '../../../../src/integrations/bfc/unpack.ts';
import { createBfc } from '../../../../src/integrations/bfc/writer.ts';
import { MTIME, type Part, assemble, memoryFile } from '../../../fixtures/bfc/assemble.ts';

const fixture = (name: string) => fileURLToPath(new URL(`../../../fixtures/bfc/${name}`, import.meta.url));

async function directory(t: ExecutionContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'bfc-unpack-'));
  t.teardown(() => rm(path, { recursive: true }));
  return path;
}

const open = (parts: readonly Part[]) => BfcReader.of(memoryFile(assemble(parts)));
const file = (path: string, text = path): Part => ({ path, type: 1, content: Buffer.from(text) });

test('unpacks files, directories and symlinks with modes and times', async (t) => {
  const place = await directory(t);
  const target = join(place, 'new');
  const long = Buffer.alloc(3_000_000, 'long ');
  await using reader = await open([
    { path: 'd', type: 2, mode: 0o040555 },
    file('d-e/implicit'),
    { path: 'd/long', type: 1, content: long, mode: 0o104755, mtime: MTIME + 500_000_000n },
    { path: 'd/deep', type: 2, mode: 0o040500, mtime: MTIME - 10_000_000_000n },
    file('d/deep/f'),
    // Which the umask does not let files have.
    { path: 'd/deep/o', type: 1, content: Buffer.from('o'), mode: 0o100666 },
    { path: 'd/l', type: 3, content: Buffer.from('/etc/passwd') },
    { path: 'old', type: 1, mtime: -5_000_000_000n },
    file('\xff\xfe'),
  ]);
  let last = 0;
  const progress = ({ bytes }: { bytes: number }) => {
    t.true(bytes >= last);
    last = bytes;
  };
  const done = await unpackBfc(reader, target, { progress });
  t.deepEqual(done, { entries: 9, bytes: long.length + 'd-e/implicit'.length + 'd/deep/f'.length + 5 });
  t.is(last, done.bytes);
  const names = await readdir(target, { encoding: 'buffer' });
  t.deepEqual(names.map((name) => name.toString('latin1')).sort(), ['d', 'd-e', 'old', '\xff\xfe']);
  t.true((await readFile(join(target, 'd/long'))).equals(long));
  const facts = async (name: string) => {
    const { mode, mtimeMs } = await lstat(join(target, name));
    return [(mode & 0o7777).toString(8), mtimeMs];
  };
  const seconds = Number(MTIME / 1_000_000n);
  t.deepEqual(await facts('d'), ['555', seconds]);
  t.deepEqual(await facts('d/long'), ['755', seconds + 500]);
  t.deepEqual(await facts('d/deep'), ['500', seconds - 10_000]);
  t.deepEqual(await facts('d/deep/f'), ['644', seconds]);
  t.deepEqual(await facts('d/deep/o'), ['666', seconds]);
  t.deepEqual(await facts('d/l'), ['777', seconds]);
  t.deepEqual(await facts('old'), ['644', -5000]);
  t.is((await facts('d-e'))[0], '755');
  t.is(await readlink(join(target, 'd/l')), '/etc/passwd');
  await using recorded = await openBfc(fixture('t-pw.bfc'), {
    secret: { kind: 'password', password: Buffer.from('secret-pass') },
  });
  const entries = [recorded.get('a/h.txt'), recorded.get('a/z.txt')];
  t.deepEqual(await unpackBfc(recorded, target, { entries }), { entries: 2, bytes: 518 });
  t.deepEqual((await readdir(join(target, 'a'))).sort(), ['h.txt', 'z.txt']);
  t.is(await readFile(join(target, 'a/h.txt'), 'utf8'), 'hello\n');
});

const damaged: Part = { ...file('z', 'content'), object: (bytes) => bytes.write('C', 48) };
const REFUSED: [what: string, parts: Part[], message: RegExp][] = [
  ['a damaged entry', [file('a'), { path: 'd', type: 2 }, damaged], /"z": .* checksum/],
  [
    'a file below a symlink',
    [{ path: 'a', type: 3, content: Buffer.from('/etc') }, file('a/x')],
    /"a\/x": the path leads through a file or symlink/,
  ],
  [
    'a directory below a symlink',
    [
      { path: 'a', type: 3, content: Buffer.from('..') },
      { path: 'a/x', type: 2 },
    ],
    /"a\/x": the path leads through/,
  ],
  [
    'a directory in the place of a symlink upwards',
    [{ path: 'a', type: 3, content: Buffer.from('.') }, file('a/a/a/x')],
    /leads through/,
  ],
  [
    'a symlink in the place of a directory',
    [file('a/x'), { path: 'a', type: 3, content: Buffer.from('/etc') }],
    /"a": is there as a directory, too/,
  ],
  ['a file below a file', [file('a'), file('a/x')], /"a\/x": the path leads through/],
  ['a path of 300 components', [file('a/'.repeat(300) + 'x')], /more than 256 components/],
  ['a directory with data', [{ path: 'd', type: 2, object: (bytes) => bytes.fill(1, 3, 4) }], /"d": .* reserved byte/],
];

for (const [what, parts, message] of REFUSED) {
  test(`unpacks nothing of a file with ${what}`, async (t) => {
    const place = await directory(t);
    await using reader = await open(parts);
    await t.throwsAsync(unpackBfc(reader, join(place, 'new')), { instanceOf: BfcError, message });
    t.deepEqual(await readdir(place), []);
    await t.throwsAsync(unpackBfc(reader, place), { instanceOf: BfcError, message });
    t.deepEqual(await readdir(place), []);
  });
}

test('unpacks nothing over what is there, without room, with a wrong key, or after its signal', async (t) => {
  const place = await directory(t);
  await using reader = await open([{ path: 'a', type: 2 }, file('a/x'), file('b')]);
  await symlink('/nowhere', join(place, 'b'));
  await t.throwsAsync(unpackBfc(reader, place), {
    instanceOf: BfcError,
    message: /"b": already exists in .*; unpack elsewhere/,
  });
  t.deepEqual(await readdir(place), ['b']);
  await writeFile(join(place, 'f'), '');
  await t.throwsAsync(unpackBfc(reader, join(place, 'f')), { code: 'ENOTDIR' });
  await t.throwsAsync(unpackBfc(reader, join(place, 'none/new')), { code: 'ENOENT' });
  const abort = new AbortController();
  const progress = () => {
    abort.abort(new Error('interrupted'));
  };
  await t.throwsAsync(unpackBfc(reader, join(place, 'new'), { progress, signal: abort.signal }), {
    message: 'interrupted',
  });
  await using encrypted = await openBfc(fixture('t-key.bfc'), { secret: { kind: 'key', key: Buffer.alloc(32) } });
  await t.throwsAsync(unpackBfc(encrypted, join(place, 'new')), { message: /cannot be decrypted/ });
  const size = 2 ** 52;
  const large: Part = {
    path: 'large',
    type: 1,
    content: Buffer.alloc(1),
    comp: 1,
    tail: (b) => b.writeBigUInt64LE(BigInt(size), 36),
  };
  await using lying = await open([large]);
  await t.throwsAsync(unpackBfc(lying, join(place, 'new')), {
    message: /need 4503599627370496 bytes, and .* has \d+ bytes free/,
  });
  t.deepEqual((await readdir(place)).sort(), ['b', 'f']);
});

test('a symlink that appears in the target while it is filled is not followed', async (t) => {
  const place = await directory(t);
  const outside = join(place, 'outside');
  const target = join(place, 'target');
  await mkdir(outside);
  await mkdir(target);
  await using reader = await open([{ path: 'a', type: 2 }, file('a/x'), file('a/y')]);
  // As soon as the directory is there, another process replaces it.
  const progress = async ({ entries }: { entries: number }) => {
    if (entries !== 1) return;
    const [stage = ''] = await readdir(target);
    await rm(join(target, stage, 'a'), { recursive: true });
    await symlink(outside, join(target, stage, 'a'));
  };
  const replaced: Promise<void>[] = [];
  const run = unpackBfc(reader, target, {
    progress: (done) => {
      replaced.push(progress(done));
    },
  });
  await run.catch(() => undefined);
  await Promise.all(replaced.map((each) => each.catch(() => undefined)));
  t.deepEqual(await readdir(outside), []);
  t.true((await stat(outside)).isDirectory());
});

test('packs a directory that unpacks to the same', async (t) => {
  const place = await directory(t);
  const from = join(place, 'from');
  const long = Buffer.alloc(1_500_000, 'some long content ');
  await mkdir(join(from, 'a/b'), { recursive: true });
  await writeFile(join(from, 'a/b/long'), long, { mode: 0o640 });
  await writeFile(join(from, 'a/medium'), long.subarray(0, 100_000), { mode: 0o755 });
  await writeFile(join(from, 'a/short'), 'short');
  await writeFile(Buffer.from(`${from}/\xff`, 'latin1'), '');
  await symlink('/etc', join(from, 'a/etc'));
  execFileSync('mkfifo', [join(from, 'a/fifo')]);
  await utimes(join(from, 'a/b'), 1_000_000_000, 1_000_000_000);
  await chmod(join(from, 'a/b'), 0o510);
  const path = join(place, 'x.bfc');
  const secret = { kind: 'key', key: Buffer.alloc(32, 1) } as const;
  await using writer = await createBfc(path, { compressionLevel: 3, secret });
  const skipped: string[] = [];
  let last = 0;
  const done = await packDirectory(writer, from, {
    skipped: (name) => skipped.push(name),
    progress: ({ bytes }) => (last = bytes),
  });
  t.deepEqual(skipped, ['a/fifo']);
  t.deepEqual(done, { entries: 7, bytes: 1_600_005 });
  t.is(last, done.bytes);
  await writer.finish();
  await using reader = await openBfc(path, { secret });
  await unpackBfc(reader, join(place, 'to'));
  await rm(join(from, 'a/fifo'));
  const facts = (name: string) =>
    execFileSync('find', [join(place, name), '-mindepth', '1', '-printf', '%P %y %m %l\n'], { encoding: 'latin1' })
      .split('\n')
      .sort();
  t.deepEqual(facts('to'), facts('from'));
  for (const name of ['a/b/long', 'a/medium', 'a/short']) {
    t.true((await readFile(join(from, name))).equals(await readFile(join(place, 'to', name))), name);
  }
  t.is((await stat(join(place, 'to/a/b'))).mtimeMs, 1_000_000_000_000);

  const abort = new AbortController();
  await using other = await createBfc(join(place, 'y.bfc'));
  const progress = () => {
    abort.abort(new Error('interrupted'));
  };
  await t.throwsAsync(packDirectory(other, from, { progress, signal: abort.signal }), { message: 'interrupted' });
});

test('a file that grows while it is packed is refused', async (t) => {
  const place = await directory(t);
  await mkdir(join(place, 'from'));
  await writeFile(join(place, 'from/log'), Buffer.alloc(600_000));
  await using writer = await createBfc(join(place, 'x.bfc'));
  let hasGrown = false;
  const progress = () => {
    if (!hasGrown) appendFileSync(join(place, 'from/log'), 'more');
    hasGrown = true;
  };
  const message = /"log": its content is longer than 600000 bytes; it was changed meanwhile/;
  await t.throwsAsync(packDirectory(writer, join(place, 'from'), { progress }), { instanceOf: BfcError, message });
  await writer.abort();
  t.deepEqual(await readdir(place), ['from']);
});
