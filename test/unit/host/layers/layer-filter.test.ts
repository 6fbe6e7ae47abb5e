import test from 'ava';
import fc from 'fast-check';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { extract as tarExtract } from 'tar-stream';
import type { Usage } from '../../../../src/core/model/rootfs.ts';
import * as bounds from '../../../../src/host/layers/bounds.ts';
import { LayerFilter, type DirectoryFacts } from '../../../../src/host/layers/layer-filter.ts';
import { formatHeader, padding, TarError, type TarEntry } from '../../../../src/utils/tar/header.ts';
import { formatPax } from '../../../../src/utils/tar/pax.ts';
import { readTar } from '../../../../src/utils/tar/reader.ts';
import { type EntrySpec, tarOf } from '../../integrations/oci/image-builder.ts';
import { hostileEntries } from './hostile.ts';

interface Filtered {
  entries: (TarEntry & { body: string })[];
  filter: LayerFilter;
  bytes: Buffer;
}

async function filtered(
  tar: Buffer,
  {
    inherit = () => undefined,
    maxEntries = 10_000,
    maxBytes = 1e9,
    below = { bytes: 0n, inodes: 0n },
  }: {
    inherit?: (path: string) => DirectoryFacts | undefined;
    maxEntries?: number;
    maxBytes?: number;
    below?: Usage;
  } = {},
): Promise<Filtered> {
  const filter = new LayerFilter({
    limits: { maxEntries, maxBytes, maxNameBytes: 1e6, maxRatio: 200 },
    below,
    inherit: (path) => Promise.resolve(inherit(path)),
  });
  const bytes = await buffer(Readable.from(filter.run(Readable.from([tar], { objectMode: false }))));
  const entries: Filtered['entries'] = [];
  for await (const { entry, content } of readTar(Readable.from([bytes], { objectMode: false }))) {
    entries.push({ ...entry, body: (await buffer(Readable.from(content))).toString() });
  }
  return { entries, filter, bytes };
}

const names = ({ entries }: Filtered) => entries.map(({ name, type }) => `${type[0] ?? ''} ${name}`);

test('names become relative and missing directories are added', async (t) => {
  const result = await filtered(tarOf({ name: '/srv//app/./x', body: 'hello' }), {
    inherit: (path) => (path === 'srv' ? { mode: 0o1700, uid: 5, gid: 6, mtime: '7' } : undefined),
  });
  t.deepEqual(names(result), ['d srv', 'd srv/app', 'f srv/app/x', 'd ./']);
  t.like(result.entries[0], { mode: 0o1700, uid: 5, gid: 6, mtime: '7' });
  t.like(result.entries[1], { mode: 0o755, uid: 0, gid: 0 });
  t.is(result.entries[2]?.body, 'hello');
});

test('a path through a symlink stays inside the root', async (t) => {
  const result = await filtered(
    tarOf(
      { name: 'lib', type: 'symlink', linkName: 'usr/lib' },
      { name: 'lib/a.so' },
      { name: 'out', type: 'symlink', linkName: '../../../../etc' },
      { name: 'out/shadow' },
      { name: 'abs', type: 'symlink', linkName: '/var/../etc' },
      { name: 'abs/group' },
      { name: 'hard', type: 'hardlink', linkName: 'abs/group' },
      { name: 'hardsym', type: 'hardlink', linkName: 'out' },
      { name: 'hardsym/passwd' },
    ),
  );
  t.deepEqual(
    result.entries.filter(({ type }) => type === 'file').map(({ name }) => name),
    ['usr/lib/a.so', 'etc/shadow', 'etc/group', 'etc/passwd'],
  );
  t.is(result.entries.find(({ name }) => name === 'hard')?.linkName, 'etc/group');
});

test.serial('deep whiteouts take the memory of their names', async (t) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const used = () => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const limits = { maxEntries: 10_000, maxBytes: 1e9, maxNameBytes: 1e7, maxRatio: 200 };
  const below = { bytes: 0n, inodes: 0n };
  const whiteouts = async function* () {
    for (let index = 0; index < 1000; index++)
      yield tarOf({ name: `${index}${'/d'.repeat(505)}/.wh.x` }).subarray(0, -1024);
  };
  let after: number | undefined;
  const inherit = () => {
    // The first whiteout is applied when all have been read.
    after ??= used();
    return Promise.resolve(undefined);
  };
  const filter = new LayerFilter({ limits, below, inherit });
  const before = used();
  for await (const piece of filter.run(whiteouts())) t.true(piece.length > 0);
  t.true((after ?? Infinity) - before < 4_500_000, `${String((after ?? 0) - before)} bytes`);
});

const described: DirectoryFacts = { mode: 0o755, uid: 0, gid: 0, mtime: '0' };

test("whiteouts hide lower entries, not the layer's own", async (t) => {
  const result = await filtered(
    tarOf(
      { name: 'd/.wh..wh..opq' },
      { name: 'd/new' },
      { name: 'e/.wh.gone' },
      { name: '.wh.kept' },
      { name: 'kept', body: 'new' },
      { name: '.wh.dir' },
      { name: 'dir/', type: 'directory', mode: 0o700, uid: 9 },
      { name: '.wh..wh.plnk/1.2' },
      { name: 'alias', type: 'symlink', linkName: 'e' },
      { name: 'alias/.wh.also' },
    ),
    { inherit: (path) => (['', 'd', 'e', 'dir'].includes(path) ? described : undefined) },
  );
  const opaque = result.entries.filter(({ xattrs }) => xattrs.has('trusted.overlay.opaque'));
  t.deepEqual(opaque.map(({ name }) => name).sort(), ['d', 'dir']);
  t.like(
    opaque.find(({ name }) => name === 'dir'),
    { mode: 0o700, uid: 9 },
  );
  const whiteouts = result.entries.filter(({ type }) => type === 'character');
  t.deepEqual(whiteouts.map(({ name }) => name).sort(), ['e/also', 'e/gone']);
  t.true(whiteouts.every(({ deviceMajor, deviceMinor }) => deviceMajor === 0 && deviceMinor === 0));
  t.is(result.entries.find(({ name }) => name === 'kept')?.body, 'new');
  t.false(result.entries.some(({ name }) => name.includes('.wh.')));
  t.true((await filtered(tarOf({ name: '.wh..wh..opq' }))).filter.facts.opaqueRoot);
});

test('dangerous xattrs are dropped, others kept', async (t) => {
  const capability = Buffer.from([1, 0, 0, 2, 0, 4, 0, 0, 0xff, 0xfe, 0, 10]);
  const xattrs = new Map([
    ['security.capability', capability],
    ['user.note', Buffer.from('x=y\n')],
    ['trusted.overlay.redirect', Buffer.from('/etc')],
    ['user.overlay.opaque', Buffer.from('y')],
    ['security.selinux', Buffer.from('x')],
  ]);
  const { entries } = await filtered(tarOf({ name: 'ping', xattrs, mode: 0o4755, mtime: '12.5', uid: 3_000_000_000 }));
  t.deepEqual(
    [...(entries[0]?.xattrs ?? [])].map(([name, value]) => [name, [...value]]),
    [
      ['security.capability', [...capability]],
      ['user.note', [...Buffer.from('x=y\n')]],
    ],
  );
  t.like(entries[0], { mode: 0o4755, mtime: '12.5', uid: 3_000_000_000 });
});

const refusals: [string, EntrySpec[]][] = [
  ['a name that climbs out', [{ name: 'a/../../x' }]],
  ['a name below a file', [{ name: 'a' }, { name: 'a/b' }]],
  ['a file in the place of a directory', [{ name: 'a/b' }, { name: 'a' }]],
  ['a file in the place of the root', [{ name: './' + '.', type: 'symlink', linkName: '/etc' }]],
  ['a hard link to what the layer does not have', [{ name: 'h', type: 'hardlink', linkName: '/etc/passwd' }]],
  ['a hard link that climbs out', [{ name: 'h', type: 'hardlink', linkName: '../../etc/passwd' }]],
  [
    'a hard link to a directory',
    [
      { name: 'd/', type: 'directory' },
      { name: 'h', type: 'hardlink', linkName: 'd' },
    ],
  ],
  [
    'a loop of symlinks',
    [{ name: 'a', type: 'symlink', linkName: 'b' }, { name: 'b', type: 'symlink', linkName: 'a' }, { name: 'a/x' }],
  ],
  ['a whiteout of ..', [{ name: 'd/.wh...' }]],
  ['a whiteout of nothing', [{ name: '.wh.' }]],
  ['a name below a whiteout', [{ name: '.wh.a/b' }]],
  ['a component no file system takes', [{ name: 'x'.repeat(256) }]],
  ['an endless path', [{ name: 'x/'.repeat(2500) }]],
  ['a path that leads to more than PATH_MAX on the node', [{ name: 'x'.repeat(200).concat('/').repeat(16) }]],
  ['a path of too many components', [{ name: 'x/'.repeat(bounds.MAX_DEPTH + 1) }]],
  // Nearly as many as a header may have: resolving them would take hours.
  ['a path of 400,000 components', [{ name: 'x/'.repeat(400_000) }]],
  ['a whiteout below 400,000 directories', [{ name: `${'x/'.repeat(400_000)}.wh.a` }]],
  [
    'a path too long behind a symlink',
    [
      { name: `${'x'.repeat(250)}/`.repeat(8) },
      { name: 'l', type: 'symlink', linkName: `${'x'.repeat(250)}/`.repeat(8) },
      { name: `l/${'y'.repeat(250)}/`.concat(`${'z'.repeat(250)}/`.repeat(5)) },
    ],
  ],
  [
    'an extended attribute with a NUL byte in its name',
    [{ name: 'a', xattrs: new Map([['user.a\0b', Buffer.alloc(1)]]) }],
  ],
  [
    'an entry with more extended attributes than the kernel takes',
    [
      {
        name: 'a',
        xattrs: new Map([0, 1, 2].map((i) => [`user.${i}`, Buffer.alloc(bounds.MAX_ENTRY_XATTR_BYTES / 2)])),
      },
    ],
  ],
  [
    'a file in the place of a directory with something in it',
    [{ name: 'a/', type: 'directory' }, { name: 'a/b' }, { name: 'a', type: 'symlink', linkName: 'c' }],
  ],
];
for (const [what, specs] of refusals) {
  test(`${what} is refused`, async (t) => {
    await t.throwsAsync(filtered(tarOf(...specs)), { instanceOf: TarError });
  });
}

test('a symlink target with a NUL byte is refused', async (t) => {
  const link = tarOf({ name: 'l', type: 'symlink', linkName: 'a' });
  const pax = formatPax([['linkpath', Buffer.from('a\0b')]]);
  const none = { linkName: '', mode: 0, uid: 0, gid: 0, mtime: 0, deviceMajor: 0, deviceMinor: 0 };
  const header = formatHeader({ typeflag: 'x', name: 'pax', size: pax.length, ...none });
  const tar = Buffer.concat([header, pax, Buffer.alloc(padding(pax.length)), link]);
  await t.throwsAsync(filtered(tar), { instanceOf: TarError, message: /impossible link target/ });
});

test('a whiteout that hides nothing is omitted', async (t) => {
  const inherit = (path: string) => (['', 'a', 'b'].includes(path) ? described : undefined);
  const tar = tarOf(
    { name: 'a/', type: 'directory' },
    { name: 'a/.wh..wh..opq' },
    { name: 'a/.wh.x' },
    { name: 'a/sub/.wh.x' },
    { name: 'new/.wh.x' },
    { name: 'b/.wh.x' },
    { name: '.wh.top' },
  );
  const written = async (options: Parameters<typeof filtered>[1]) =>
    (await filtered(tar, options)).entries.filter(({ type }) => type === 'character').map(({ name }) => name);
  t.deepEqual(await written({ inherit }), ['b/x', 'top']);
  t.deepEqual(await written({}), []);
  const cut = await filtered(tarOf({ name: '.wh..wh..opq' }, { name: 'b/.wh.x' }), { inherit });
  t.deepEqual(names(cut), ['d ./']);
});

test('a device 0:0 is a whiteout, as are links to it', async (t) => {
  const inherit = (path: string) => (['', 'a'].includes(path) ? described : undefined);
  const device = { type: 'character', mode: 0o644 } as const;
  const tar = tarOf(
    { ...device, name: 'a/x' },
    { name: 'a/y', type: 'hardlink', linkName: 'a/x' },
    { ...device, name: 'new/z' },
    { ...device, name: 'null', deviceMajor: 1, deviceMinor: 3 },
    { name: 'zero', type: 'hardlink', linkName: 'null' },
  );
  const result = await filtered(tar, { inherit });
  t.deepEqual(names(result), ['c null', 'h zero', 'd a', 'c a/x', 'c a/y', 'd a', 'd ./']);
  t.is(result.entries[3]?.mode, 0);
  await t.throwsAsync(filtered(tarOf({ ...device, name: './' })), { message: /replaces a directory/ });
});

test('the last entry of a name wins', async (t) => {
  const result = await filtered(
    tarOf(
      { name: 'lib/', type: 'directory' },
      { name: 'lib/.wh..wh..opq' },
      { name: 'lib/.wh.old' },
      { name: 'lib', type: 'symlink', linkName: 'usr/lib' },
      { name: 'usr/lib/', type: 'directory' },
      { name: 'lib/a.so' },
    ),
    { inherit: () => described },
  );
  t.deepEqual(names(result), ['d lib', 's lib', 'd usr', 'd usr/lib', 'f usr/lib/a.so', 'd ./']);
  t.false(result.entries.some(({ xattrs }) => xattrs.has('trusted.overlay.opaque')));
});

test('bounds count the whole image with its xattrs', async (t) => {
  const four = tarOf({ name: 'a' }, { name: 'b' }, { name: 'c', body: 'x'.repeat(5000) });
  const below = { bytes: 10_000n, inodes: 7n };
  await t.notThrowsAsync(filtered(four, { below, maxEntries: 11 }));
  await t.throwsAsync(filtered(four, { below, maxEntries: 10 }), {
    instanceOf: TarError,
    message: /image has more than 10/,
  });
  await t.throwsAsync(filtered(four, { below, maxBytes: 17_000 }), {
    instanceOf: TarError,
    message: /image is larger/,
  });
  const value = Buffer.alloc(bounds.MAX_ENTRY_XATTR_BYTES - 16);
  const count = Math.ceil(bounds.MAX_LAYER_XATTR_BYTES / value.length) + 1;
  const entries = Array.from({ length: count }, (_, i) => ({ name: `f${i}`, xattrs: new Map([['user.note', value]]) }));
  await t.throwsAsync(filtered(tarOf(...entries)), {
    instanceOf: TarError,
    message: /extended attributes in the layer/,
  });
});

test('counts and sizes are limited', async (t) => {
  const many = tarOf(...Array.from({ length: 50 }, (_, i) => ({ name: `f${i}` })));
  await t.throwsAsync(filtered(many, { maxEntries: 20 }), { instanceOf: TarError, message: /more than 20/ });
  const hidden = tarOf(...Array.from({ length: 50 }, (_, i) => ({ name: `.wh.f${i}` })));
  await t.throwsAsync(filtered(hidden, { maxEntries: 20 }), { instanceOf: TarError, message: /more than 20/ });
  await t.throwsAsync(filtered(tarOf({ name: 'a', body: 'x'.repeat(10_000) }), { maxBytes: 5000 }), {
    instanceOf: TarError,
  });
  const long = tarOf(...Array.from({ length: 600 }, (_, i) => ({ name: `${'long/'.repeat(400)}${i}` })));
  await t.throwsAsync(filtered(long), { instanceOf: TarError, message: /names in the layer/ });
});

/** What a reader of the result may rely on; undefined when it is satisfied, else the violation. */
function violation(entries: readonly TarEntry[]): string | undefined {
  const kinds = new Map<string, string>([['', 'directory']]);
  for (const { name: raw, type, linkName } of entries) {
    const name = raw === './' ? '' : raw;
    const parts = name.split('/');
    if (name !== '' && parts.some((part) => part === '' || part === '.' || part === '..')) return `name ${raw}`;
    for (let i = 1; i < parts.length; i++) {
      if (kinds.get(parts.slice(0, i).join('/')) !== 'directory') return `${raw} below something else than a directory`;
    }
    if (type === 'hardlink') {
      const target = kinds.get(linkName);
      if (target === undefined || target === 'directory') return `hard link ${raw} to ${linkName}`;
      kinds.set(name, target);
      continue;
    }
    if (type !== 'directory' && kinds.get(name) === 'directory') {
      if ([...kinds.keys()].some((known) => known.startsWith(`${name}/`))) return `${raw} replaces a directory in use`;
    }
    kinds.set(name, type);
  }
  return undefined;
}

test('no output leads outside the layer', async (t) => {
  let passed = 0;
  await fc.assert(
    fc.asyncProperty(hostileEntries, async (specs) => {
      try {
        const { entries } = await filtered(tarOf(...specs));
        t.is(violation(entries), undefined);
        passed++;
      } catch (error) {
        if (!(error instanceof TarError)) throw error;
      }
    }),
    { numRuns: 4000, seed: 20_261 },
  );
  t.true(passed > 300, `${passed} archives were accepted`);
});

test('a damaged archive is refused or read', async (t) => {
  const good = tarOf(
    { name: 'a'.repeat(150), body: 'x'.repeat(600), xattrs: new Map([['user.a', Buffer.from('b')]]) },
    { name: 'd/', type: 'directory', mtime: '5.25' },
    { name: 'd/l', type: 'symlink', linkName: 'y'.repeat(120) },
  );
  const damage = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(damage, fc.option(fc.nat(good.length)), fc.boolean(), async (changes, cut, mend) => {
      const bad = Buffer.from(good);
      for (const [at, value] of changes) bad[at] = value;
      if (mend) mendChecksums(bad);
      try {
        const { entries } = await filtered(cut === null ? bad : bad.subarray(0, cut));
        t.is(violation(entries), undefined);
      } catch (error) {
        if (!(error instanceof TarError)) throw error;
      }
    }),
    { numRuns: 3000, seed: 20_262 },
  );
});

/** So that damage passes the checksum and reaches the fields. */
function mendChecksums(tar: Buffer): void {
  for (let at = 0; at + 512 <= tar.length; at += 512) {
    if (tar.toString('latin1', at + 257, at + 262) !== 'ustar') continue;
    tar.fill(' ', at + 148, at + 156);
    const sum = tar.subarray(at, at + 512).reduce((total, byte) => total + byte, 0);
    tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1');
  }
}

test('the output is readable by another tar implementation', async (t) => {
  const { bytes } = await filtered(
    tarOf(
      { name: 'deep/'.repeat(30) + 'file', body: 'abc' },
      { name: 'l', type: 'symlink', linkName: 'x'.repeat(150) },
      { name: 'n', type: 'character', deviceMajor: 1, deviceMinor: 3 },
      { name: 'old', mtime: '-5', uid: 5_000_000 },
    ),
  );
  const seen: Record<string, unknown> = {};
  const reader = tarExtract();
  reader.on('entry', (header, stream, next) => {
    seen[header.name] = { type: header.type, size: header.size, linkname: header.linkname, uid: header.uid };
    stream.resume().on('end', next);
  });
  await new Promise<void>((resolve, reject) => {
    reader
      .on('finish', () => {
        resolve();
      })
      .on('error', reject);
    reader.end(bytes);
  });
  t.like(seen['deep/'.repeat(30) + 'file'], { type: 'file', size: 3 });
  t.like(seen['l'], { type: 'symlink', linkname: 'x'.repeat(150) });
  t.like(seen['n'], { type: 'character-device' });
  t.like(seen['old'], { uid: 5_000_000 });
});
