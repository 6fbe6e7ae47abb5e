import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { closeSync, openSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { openBfc } from '../../../src/integrations/bfc/reader.ts';
import { readLayout } from '../../../src/integrations/oci/archive/layout.ts';
import { parsePlatform } from '../../../src/integrations/oci/platform.ts';
import { assemble } from '../../fixtures/bfc/assemble.ts';
import { packImages } from '../../fixtures/bfc/pack-image.ts';
import { buildImage, tarOf } from '../integrations/oci/image-builder.ts';
import { cli } from './harness.ts';
import { scriptedServer } from './scripted-server.ts';

const KEY = Buffer.alloc(32, 'K');
const NAME = 'docker.io/library/app:v1';
const built = buildImage([tarOf({ name: 'a', body: 'one' }), tarOf({ name: 'b', body: 'two' })]);

/** A directory with a key file, a password file, and a tree to pack. */
async function place(t: ExecutionContext) {
  const top = await mkdtemp(join(tmpdir(), 'cli-bfc-'));
  t.teardown(() => rm(top, { recursive: true }));
  const at = (name: string) => join(top, name);
  await writeFile(at('key'), KEY);
  await writeFile(at('password'), 'secret\n');
  await mkdir(at('tree/d'), { recursive: true });
  await writeFile(at('tree/d/file'), 'x'.repeat(5000));
  await symlink('file', at('tree/d/link'));
  return { top, at };
}

/** A terminal on which the text is typed. */
function typing(text: string) {
  const modes: boolean[] = [];
  const stdin = Object.assign(new PassThrough(), { isTTY: true, setRawMode: (raw: boolean) => modes.push(raw) });
  stdin.write(text);
  return { stdin, modes };
}

const bfc = (words: readonly string[], outside?: Parameters<typeof cli>[1]) => cli(['bfc', ...words], outside);
const json = (text: string) => JSON.parse(text) as Record<string, unknown>;

/** The command fails with one line that has these words. */
async function fails(t: ExecutionContext, words: readonly string[], what: RegExp, code = 1) {
  const { stderr, ...outcome } = await bfc(words);
  t.deepEqual(outcome, { code, stdout: '' }, stderr);
  t.regex(stderr, /^proxmox-lxcri: [^\n]*\n$/);
  t.regex(stderr, what);
}

test('A directory is packed, described, listed and unpacked', async (t) => {
  const { at } = await place(t);
  t.like(await bfc(['pack', at('tree'), at('a.bfc'), '--key-file', at('key')]), { code: 0, stdout: '' });
  const described = await bfc(['info', at('a.bfc')]);
  for (const line of [
    /^Entries +1 file, 1 directory, 1 symlink$/m,
    /^Contents +4\.9 KiB, stored as \d+ B$/m,
    /^Compression +zstd, 1 file$/m,
    /^Encryption +key file, 1 file$/m,
    /^Checksums +raw$/m,
  ]) {
    t.regex(described.stdout, line);
  }
  t.like(json((await bfc(['info', '--json', at('a.bfc')])).stdout), { bytes: 5000, symlinks: 1, layout: 'files' });
  const { stdout } = await bfc(['list', at('a.bfc')]);
  t.regex(
    stdout,
    /^drwxr-xr-x +0 B +0 B -- \S+Z d\n-rw-r--r-- +4\.9 KiB +\d+ B ze \S+Z d\/file\nl.* d\/link -> file\n$/,
  );
  const entries = JSON.parse((await bfc(['list', '--json', at('a.bfc')])).stdout) as object[];
  t.like(entries[1], { path: 'd/file', size: 5000, mode: '0644', encrypted: true });
  t.like(await bfc(['unpack', at('a.bfc'), at('b'), '--key-file', at('key')]), { code: 0 });
  t.is(await readFile(at('b/d/link'), 'utf8'), 'x'.repeat(5000));
});

test('Entries with any time and bytes in their names are listed', async (t) => {
  const { at } = await place(t);
  const odd = { type: 1, content: Buffer.from('x'), mode: 0o104755, mtime: -1n } as const;
  await writeFile(at('a.bfc'), assemble([{ ...odd, path: 'a\n\xff' }]));
  t.is(
    (await bfc(['list', at('a.bfc')])).stdout,
    '-rwsr-xr-x        1 B        1 B -- 1969-12-31T23:59:59Z a\\n\\xff\n',
  );
  const [entry] = JSON.parse((await bfc(['list', '--json', at('a.bfc')])).stdout) as object[];
  t.like(entry, { pathBase64: 'YQr/', mode: '4755', mtime: '1969-12-31T23:59:59.999999999Z' });
  await writeFile(at('b.bfc'), assemble([]));
  t.is((await bfc(['list', '--json', at('b.bfc')])).stdout, '[]\n');
});

test('A file is packed again with another password, also into itself', async (t) => {
  const { at } = await place(t);
  const [file, fd] = [at('a.bfc'), openSync(at('password'), 'r')];
  t.teardown(() => {
    closeSync(fd);
  });
  await bfc(['pack', at('tree'), file, '--key-file', at('key'), '--level', '0']);
  await fails(t, ['pack', file, at('b.bfc')], /a\.bfc": is encrypted with a key file; use --source-key-file$/m);
  const again = ['--force', '--source-key-file', at('key'), '--password-fd', String(fd)];
  t.like(await bfc(['pack', file, file, ...again]), { code: 0 });
  await fails(
    t,
    ['verify', '--deep', file],
    /a\.bfc": is encrypted with a password; use --password-file or --password-fd/,
  );
  await fails(t, ['verify', '--deep', file, '--key-file', at('key')], /with a password, not with a key file/);
  await writeFile(at('wrong'), 'wrong');
  await fails(t, ['unpack', file, at('x'), '--password-file', at('wrong')], /a\.bfc": the password is wrong, or/);
  const verified = await bfc(['verify', '--deep', file, '--password-file', at('password')]);
  t.regex(verified.stdout, /a\.bfc: 3 entries, 4\.9 KiB read in .* no damage\n$/);
  await fails(t, ['pack', at('tree'), file], /a\.bfc": already exists/);
  t.deepEqual((await readdir(at('.'))).sort(), ['a.bfc', 'key', 'password', 'tree', 'wrong']);
});

test('Passwords are typed without echo, twice for a file that is written', async (t) => {
  const { at } = await place(t);
  const file = at('a.bfc');
  const write = ['pack', at('tree'), file, '--ask-password'];
  const { stdin, modes } = typing('wronx\x15s\u00e9x\x7fcret\rs\u00e9cret\r');
  const packed = await bfc(write, { stdin });
  t.deepEqual([packed.code, modes], [0, [true, false]]);
  t.regex(packed.stderr, /^New password of .*a\.bfc: \nRepeat it: \n/);
  t.false(packed.stderr.includes('cret\n'));
  const opened = await bfc(['verify', '--deep', file], { stdin: typing('s\u00e9cret\n').stdin });
  t.deepEqual([opened.code, opened.stderr], [0, `Password of ${file}: \n`]);
  const refused: [string, RegExp][] = [
    ['one\rtwo\r', /: the passwords differ$/m],
    ['\r', /: the password is empty$/m],
    ['ab\x03', /: interrupted: no password was typed$/m],
  ];
  for (const [text, what] of refused) {
    const failed = await bfc(['pack', at('tree'), at('b.bfc'), '--ask-password'], { stdin: typing(text).stdin });
    t.is(failed.code, 1);
    t.regex(failed.stderr, what);
  }
  const other = ['pack', at('tree'), at('b.bfc'), '--ask-password'];
  await fails(t, other, /standard input is not a terminal; use --password-file or --password-fd/, 2);
  await fails(t, [...other, '--key-file', at('key')], /--key-file and --ask-password exclude each other/, 2);
  await writeFile(at('long'), 'x'.repeat(70_000));
  await fails(t, ['pack', at('tree'), at('b.bfc'), '--password-file', at('long')], /has more than 65536 bytes/);
  await fails(t, ['pack', at('tree'), at('b.bfc'), '--password-fd', '1000'], /descriptor 1000 cannot be read/);
  t.deepEqual((await readdir(at('.'))).sort(), ['a.bfc', 'key', 'long', 'password', 'tree']);
});

test('Images are listed, and one is unpacked as a layout', async (t) => {
  const { at } = await place(t);
  const other = buildImage([tarOf({ name: 'c', body: 'three' })], { architecture: 'pdp11' });
  const secret = { kind: 'key', key: KEY } as const;
  await packImages(at('a.bfc'), { [NAME]: built }, { secret });
  t.regex((await bfc(['info', at('a.bfc')])).stdout, /^Images +encrypted; give the key/m);
  await fails(t, ['list', '--images', at('a.bfc')], /a\.bfc: its images are encrypted; give the key/);
  const images = await bfc(['list', '--images', at('a.bfc'), '--key-file', at('key')]);
  const size = built.layers.reduce((sum, layer) => sum + layer.size, 0) / 1024;
  t.regex(
    images.stdout,
    new RegExp(`app:v1 +${built.manifestDigest} +linux/\\S+ +2 +${size.toFixed(1)} KiB +complete$`, 'm'),
  );
  t.like(await bfc(['unpack', at('a.bfc'), at('one'), '--image', 'app:v1', '--key-file', at('key')]), { code: 0 });
  const [image] = (await readLayout(at('one'), parsePlatform(), () => Promise.resolve())) ?? [];
  t.deepEqual([image?.names, image?.configDigest], [[NAME], built.configDigest]);
  t.deepEqual((await readdir(at('one/blobs/sha256'))).length, 4);
  const unknown = ['unpack', at('a.bfc'), at('two'), '--image', 'b', '--key-file', at('key')];
  await fails(t, unknown, /a\.bfc": has no image "b"; it has: docker\.io\/library\/app:v1/);
  await fails(
    t,
    ['unpack', at('a.bfc'), at('one'), '--image', 'app:v1', '--key-file', at('key')],
    /is not an empty directory/,
  );
  await packImages(at('b.bfc'), { [NAME]: other });
  t.like(json((await bfc(['info', '--json', at('b.bfc')])).stdout), { layout: 'image layout', compression: 'none' });
  t.regex((await bfc(['info', at('b.bfc')])).stdout, /linux\/pdp11/);
  t.deepEqual((await readdir(at('.'))).sort(), ['a.bfc', 'b.bfc', 'key', 'one', 'password', 'tree']);
});

test('One image of a file is packed under another name', async (t) => {
  const { at } = await place(t);
  const second = buildImage([tarOf({ name: 'c', body: 'three' })]);
  await packImages(at('a.bfc'), { [NAME]: built, 'r.example/b:1': second }, { prefix: 'layout/' });
  const all = await bfc(['pack', at('a.bfc'), at('all.bfc'), '--json']);
  t.is((json(all.stdout)['images'] as object[]).length, 2);
  const words = ['pack', at('a.bfc'), at('one.bfc'), '--image', 'r.example/b:1', '--name', 'r.example/c:2'];
  t.is((await bfc(words)).stdout, `${second.configDigest} r.example/c:2\n`);
  const short = ['pack', at('a.bfc'), at('short.bfc'), '--image', 'app:v1', '--name', 'short'];
  t.is((await bfc(short)).stdout, `${built.configDigest} docker.io/library/short:latest\n`);
  t.regex((await bfc(['list', '--images', at('short.bfc')])).stdout, /^docker\.io\/library\/short:latest /m);
  await fails(t, ['pack', at('a.bfc'), at('x.bfc'), '--image', 'app:v1', '--name', 'A b'], /name: "A b" /);
  await fails(t, ['pack', at('a.bfc'), at('x.bfc'), '--name', 'c'], /names one image, but .* has 2/);
  await fails(t, ['pack', at('tree'), at('x.bfc'), '--image', 'c'], /image: .* is no image; omit it/);
  await fails(t, ['pack', at('tree'), at('tree/x.bfc')], /is in the directory that is packed/);
  await using reader = await openBfc(at('one.bfc'));
  t.is([...reader.index].length, 5);
});

test('Damage is named, and the exit code says so', async (t) => {
  const { at } = await place(t);
  const layer = built.layers[1]!.digest;
  await packImages(at('a.bfc'), { [NAME]: built }, { without: [layer] });
  await fails(t, ['verify', at('a.bfc')], new RegExp(`a\\.bfc": has no ${layer} of the image ${NAME}; pack`));
  await fails(t, ['unpack', at('a.bfc'), at('x'), '--image', NAME], new RegExp(`a\\.bfc": has no layer ${layer} of`));
  await bfc(['pack', at('tree'), at('b.bfc'), '--level', '0']);
  const bytes = await readFile(at('b.bfc'));
  bytes[bytes.indexOf('xxxx')]! ^= 1;
  await writeFile(at('b.bfc'), bytes);
  t.like(await bfc(['verify', at('b.bfc')]), { code: 0 });
  await fails(
    t,
    ['verify', '--deep', at('b.bfc')],
    /b\.bfc": entry "d\/file": at offset \d+: its content has the checksum/,
  );
  await fails(t, ['unpack', at('b.bfc'), at('x')], /entry "d\/file"/);
  await fails(t, ['pack', at('b.bfc'), at('c.bfc')], /b\.bfc": entry "d\/file"/);
  const { code, stdout } = await bfc(['verify', '--deep', '--json', at('b.bfc')]);
  t.is(code, 1);
  t.like(json(stdout), { failed: 1, entries: 3 });
  await truncate(at('b.bfc'), bytes.length - 10);
  for (const command of ['info', 'list', 'verify'])
    await fails(t, [command, at('b.bfc')], /b\.bfc": .*the end of the file is missing/);
  await fails(t, ['pack', at('b.bfc'), at('c.bfc')], /b\.bfc": .*the end of the file is missing/);
  t.deepEqual((await readdir(at('.'))).sort(), ['a.bfc', 'b.bfc', 'key', 'password', 'tree']);
});

test('An interrupted command leaves nothing', async (t) => {
  const { at } = await place(t);
  // A socket cannot be packed: its line comes amid the work.
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(at('tree/a'), resolve));
  t.teardown(() => {
    server.close();
  });
  let interrupt: Parameters<NonNullable<NonNullable<Parameters<typeof cli>[1]>['signals']>>[0] = () => undefined;
  const outcome = await bfc(['pack', at('tree'), at('a.bfc')], {
    signals: (send) => (interrupt = send),
    onStderr: (text) => {
      if (text.startsWith('skipped: a')) interrupt('SIGINT');
    },
  });
  t.deepEqual([outcome.code, outcome.stdout], [1, '']);
  t.regex(outcome.stderr, /^skipped: a\nproxmox-lxcri: interrupted by SIGINT\n$/);
  t.deepEqual((await readdir(at('.'))).sort(), ['key', 'password', 'tree']);
});

test('The server imports, and what it refuses names the file', async (t) => {
  const { at } = await place(t);
  await packImages(at('a.bfc'), { [NAME]: built }, { secret: { kind: 'key', key: KEY } });
  const refuse = (code: number, details: string) => Promise.reject(Object.assign(new Error(), { code, details }));
  let last: object = { done: 5n, total: 5n, result: { imageIds: ['sha256:1'], names: [NAME] } };
  let answer = () => Promise.resolve(last);
  const server = await scriptedServer(t, {
    importWithProgress: async function* () {
      yield { done: 1n, total: 5n };
      yield await answer();
    },
    export: () => refuse(status.RESOURCE_EXHAUSTED, 'no space left for the image'),
  });
  const run = (...words: string[]) =>
    bfc([words[0] ?? '', '--address', server.address, ...words.slice(1)], { env: { TMPDIR: at('.') } });
  // The server may have the key.
  t.like(await run('import', at('a.bfc')), { code: 0, stdout: `sha256:1\n${NAME}\n` });
  t.like(await run('import', at('a.bfc'), '--key-file', at('key')), { code: 0 });
  t.deepEqual(
    server.calls.map(({ request }) => (request as { key: Buffer }).key.toString()),
    ['', KEY.toString()],
  );
  last = { done: 5n, total: 5n };
  t.regex((await run('import', at('a.bfc'))).stderr, /the server ended the import without a result/);
  answer = () => refuse(status.RESOURCE_EXHAUSTED, 'no space left for the image');
  t.regex((await run('import', at('a.bfc'))).stderr, /^proxmox-lxcri: "\/.*\/a\.bfc": no space left for the image\n$/);
  await fails(t, ['import', '--address', server.address, at('key')], /key": is not a BFC file/);
  const exported = await run('export', NAME, at('b.bfc'));
  t.is(
    exported.stderr.replace(/\/bfc-\w+/, '/bfc-X'),
    `Exporting ${NAME}\nproxmox-lxcri: "${at('bfc-X/image.tar')}": no space left for the image\n`,
  );
  t.deepEqual((await readdir(at('.'))).sort(), ['a.bfc', 'key', 'password', 'tree']);
});
