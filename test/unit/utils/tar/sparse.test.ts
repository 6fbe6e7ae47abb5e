import test from 'ava';
import fc from 'fast-check';
import { mkdtemp, mkdir, open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { createReadStream } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { extract } from '../../../../src/host/layers/extract.ts';
import { LayerFilter } from '../../../../src/host/layers/layer-filter.ts';
import { run } from '../../../../src/host/processes/run.ts';
import { TarError, type TarEntry } from '../../../../src/utils/tar/header.ts';
import { readTar } from '../../../../src/utils/tar/reader.ts';
import type { SparseMap } from '../../../../src/utils/tar/sparse.ts';
import { tarOf } from '../../integrations/oci/image-builder.ts';

const limits = { maxEntries: 100, maxBytes: 2 ** 30, maxNameBytes: 1e6, maxRatio: 200 };
const filter = () =>
  new LayerFilter({ limits, below: { bytes: 0n, inodes: 0n }, inherit: () => Promise.resolve(undefined) });

async function entriesOf(tar: Buffer): Promise<TarEntry[]> {
  const entries: TarEntry[] = [];
  for await (const { entry } of readTar(Readable.from([tar], { objectMode: false }))) entries.push(entry);
  return entries;
}

for (const format of [
  ['--format=gnu'],
  ['--format=pax', '--sparse-version=0.0'],
  ['--format=pax', '--sparse-version=0.1'],
  ['--format=pax', '--sparse-version=1.0'],
]) {
  test(`a sparse file of tar ${format.join(' ')} keeps its holes`, async (t) => {
    const directory = await mkdtemp(join(tmpdir(), 'sparse-'));
    t.teardown(() => rm(directory, { recursive: true, force: true }));
    await mkdir(join(directory, 'in'));
    await mkdir(join(directory, 'out'));
    const file = await open(join(directory, 'in/holes'), 'w');
    // More pieces than fit one header, and a hole at the end.
    for (let i = 0; i < 60; i++) await file.write(`piece ${i}`, i * 100_003);
    await file.truncate(10_000_000);
    await file.close();
    const long = 'x'.repeat(120);
    await run('cp', ['--sparse=always', '--', join(directory, 'in/holes'), join(directory, 'in', long)]);
    const archive = join(directory, 'a.tar');
    await run('tar', [...format, '--sparse', '-C', join(directory, 'in'), '-cf', archive, 'holes', long]);
    const kept = (await stat(archive)).size;
    t.true(kept < 1_500_000, `the archive has ${kept} bytes`);

    const checked = filter();
    await extract(checked.run(createReadStream(archive)), join(directory, 'out'), undefined);
    const expected = await readFile(join(directory, 'in/holes'));
    for (const name of ['holes', long]) {
      t.true(expected.equals(await readFile(join(directory, 'out', name))));
      t.true((await stat(join(directory, 'out', name))).blocks * 512 < 1_500_000);
    }
    t.true(checked.facts.usage.bytes < 1_500_000n);
  });
}

test('an inconsistent sparse map is refused', async (t) => {
  const sparse = (map: SparseMap, body = 'abcd') => tarOf({ name: 'f', body, sparse: map });
  const [entry] = await entriesOf(sparse({ realSize: 100, pieces: [[10, 4]] }));
  t.like(entry, { name: 'f', size: 4, sparse: { realSize: 100, pieces: [[10, 4]] } });
  for (const map of [
    { realSize: 100, pieces: [[10, 5]] },
    { realSize: 12, pieces: [[10, 4]] },
    {
      realSize: 100,
      pieces: [
        [10, 2],
        [11, 2],
      ],
    },
    {
      realSize: 100,
      pieces: [
        [50, 2],
        [10, 2],
      ],
    },
    { realSize: 100, pieces: [] },
  ] as SparseMap[]) {
    await t.throwsAsync(entriesOf(sparse(map)), { instanceOf: TarError }, JSON.stringify(map));
  }
  const huge = sparse({ realSize: 2 ** 40, pieces: [[10, 4]] });
  await t.throwsAsync(buffer(Readable.from(filter().run(Readable.from([huge])))), { message: /is larger than/ });
});

test('no sparse map makes tar read the content of a file as entries', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'sparse-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  // GNU tar reads a whole block for each piece: here the header of the next file for the second one.
  const pieces: [number, number][] = [
    [0, 1],
    [1024, 1],
  ];
  const planted = tarOf({ name: 'planted', body: 'planted' });
  const archive = Readable.from([
    tarOf({ name: 'f', body: 'ab', sparse: { realSize: 2000, pieces } }).subarray(0, -1024),
    tarOf({ name: 'g', body: planted.toString() }),
  ]);
  const unpacked = extract(filter().run(archive), directory, undefined);
  await t.throwsAsync(unpacked, { message: /a piece of a sparse file is not whole blocks/ });
  t.false((await readdir(directory)).includes('planted'));
});

test('a sparse map may have 100,000 pieces', async (t) => {
  const of = (count: number) => {
    const pieces = Array.from({ length: count }, (_, index): [number, number] => [1024 * index, 512]);
    return entriesOf(tarOf({ name: 'f', body: 'x'.repeat(512 * count), sparse: { realSize: 1024 * count, pieces } }));
  };
  t.is((await of(100_000))[0]?.sparse?.pieces.length, 100_000);
  await t.throwsAsync(of(100_001), { message: 'a sparse file has more than 100000 pieces' });
});

test('any sparse map is parsed or refused', async (t) => {
  const number = fc.oneof(fc.nat(200), fc.maxSafeNat(), fc.constant(-1));
  const map = fc.record({ realSize: number, pieces: fc.array(fc.tuple(number, number), { maxLength: 30 }) });
  await fc.assert(
    fc.asyncProperty(map, fc.nat(600), fc.nat(255), async (sparse, at, byte) => {
      const tar = tarOf({ name: 'f', body: 'x'.repeat(50), sparse });
      // Damage behind the header of the pax records, whose checksum would only detect it.
      tar[512 + at] = byte;
      await entriesOf(tar).catch((error: unknown) => t.true(error instanceof TarError, String(error)));
    }),
    { numRuns: 2000 },
  );
  t.pass();
});
