import { resolve } from 'node:path';
import { printable } from '../../core/logging/escape.ts';
import type { CliContext, Input } from '../command.ts';
import { formatJson } from '../output/json.ts';
import { tableWidth } from '../output/table-width.ts';
import { formatTable } from '../output/table.ts';
import { formatBytes, formatCount } from '../output/units.ts';
import type { DescribedImage, Description } from './files.ts';
import { secretFor } from './secrets.ts';

const UNREADABLE = 'encrypted; give the key or password to list them';

/** Prints what a BFC file is, and its images. @throws UsageError, CriError */
export async function describeFile(context: CliContext, input: Input): Promise<void> {
  const { ask: secret } = await secretFor(context, input, { asks: false });
  const description = await (await context.bfcFiles()).describe(resolve(input.args[0] ?? ''), secret);
  if (input.has('json')) {
    context.stdout.write(formatJson(description));
    return;
  }
  const facts = factsOf(description);
  const width = Math.max(...facts.map(([name]) => name.length));
  context.stdout.write(facts.map(([name, value]) => `${name.padEnd(width)}  ${printable(value)}\n`).join(''));
  const { images = [] } = description;
  if (images.length > 0) context.stdout.write(`\n${imageTable(context, input, images)}`);
}

/** Prints the images of a BFC file. @throws CriError PERMISSION_DENIED when they are encrypted and there is no key. */
export async function listImagesOf(context: CliContext, input: Input): Promise<void> {
  const { ask: secret } = await secretFor(context, input, { asks: true });
  const { file, images, imagesProblem } = await (
    await context.bfcFiles()
  ).describe(resolve(input.args[0] ?? ''), secret);
  if (images === undefined) throw new Error(`${file}: its images are ${UNREADABLE}`);
  if (imagesProblem !== undefined) throw new Error(`${file}: ${imagesProblem}`);
  context.stdout.write(input.has('json') ? formatJson({ images }) : imageTable(context, input, images));
}

function factsOf(it: Description): [name: string, value: string][] {
  const size = (bytes: number) => formatBytes(BigInt(bytes));
  const encrypted = it.encryption === 'none' ? 'none' : `${it.encryption}, ${formatCount(it.encryptedFiles, 'file')}`;
  const compressed =
    it.compression === 'none' ? 'none' : `${it.compression}, ${formatCount(it.compressedFiles, 'file')}`;
  return [
    ['File', it.file],
    ['Size', size(it.size)],
    ['UUID', it.uuid],
    ['Layout', it.layout],
    [
      'Entries',
      [
        formatCount(it.files, 'file'),
        formatCount(it.directories, 'directory'),
        formatCount(it.symlinks, 'symlink'),
      ].join(', '),
    ],
    ['Contents', `${size(it.bytes)}, stored as ${size(it.storedBytes)}`],
    ['Compression', compressed],
    ['Encryption', encrypted],
    ['Checksums', it.checksums],
    ...(it.unusedBytes > 0 ? [['Unused', size(it.unusedBytes)] as [string, string]] : []),
    ['Images', it.imagesProblem ?? (it.images === undefined ? UNREADABLE : String(it.images.length))],
  ];
}

function imageTable(context: CliContext, input: Input, images: readonly DescribedImage[]): string {
  const rows = images.flatMap(({ names, digest, platform = '', layers, size, missing }) =>
    (names.length === 0 ? [''] : names).map((name) => [
      name,
      digest,
      platform,
      String(layers),
      formatBytes(BigInt(size)),
      missing.length === 0 ? 'complete' : `${String(missing.length)} missing`,
    ]),
  );
  const headings = ['IMAGE', 'DIGEST', 'PLATFORM', 'LAYERS', 'SIZE', 'BLOBS'];
  return formatTable(headings, rows, tableWidth(context, input));
}
