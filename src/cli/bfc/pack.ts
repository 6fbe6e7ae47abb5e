import { resolve } from 'node:path';
import { pathText } from '../output/path-text.ts';
import type { CliContext, Input } from '../command.ts';
import { formatJson } from '../output/json.ts';
import { formatBytes } from '../output/units.ts';
import { wholeNumber } from '../values.ts';
import type { Packed, PackOptions } from './files.ts';
import { secretFor, writeSecret } from './secrets.ts';
import { withProgress } from './work.ts';

/** Writes images or files into a BFC file, and prints its images and its size. @throws UsageError, CriError */
export async function packFile(context: CliContext, input: Input): Promise<void> {
  const [source = '', file = ''] = input.args;
  const sourceSecret = await secretFor(context, input, { asks: true, prefix: 'source-' });
  await writeFile(context, input, file, {
    source: resolve(source),
    sourceSecret,
    image: input.text('image'),
    name: input.text('name'),
  });
}

/** Writes a BFC file of this source as the options say. */
async function writeFile(
  context: CliContext,
  input: Input,
  file: string,
  source: Pick<PackOptions, 'source' | 'sourceSecret' | 'image' | 'name'>,
): Promise<void> {
  const level = wholeNumber('level', input.text('level') ?? '3', 0, 22);
  const secret = await writeSecret(context, input, file);
  const files = await context.bfcFiles();
  const { result: packed, seconds } = await withProgress(context, ({ line, ...work }) =>
    files.pack({
      ...source,
      ...work,
      file: resolve(file),
      secret,
      level: level === 0 ? undefined : level,
      replaces: input.has('force'),
      skipped: (path) => {
        line.end();
        context.stderr.write(`skipped: ${pathText(Buffer.from(path, 'latin1'))}\n`);
      },
    }),
  );
  printPacked(context, input, packed, seconds);
}

function printPacked(context: CliContext, input: Input, packed: Packed, seconds: number): void {
  if (input.has('json')) {
    context.stdout.write(formatJson(packed));
    return;
  }
  for (const { id, names } of packed.images) context.stdout.write(`${[id, ...names].join(' ')}\n`);
  context.stderr.write(`${packed.file}: ${formatBytes(BigInt(packed.size))} in ${seconds.toFixed(1)} s\n`);
}
