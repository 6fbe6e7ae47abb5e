import { lstat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { isErrno } from '../../utils/errors.ts';
import { quoted } from '../../core/logging/escape.ts';
import { CriError, StatusCode } from '../../core/model/errors.ts';
import { type CliContext, type Input, UsageError } from '../command.ts';
import { formatJson } from '../output/json.ts';
import { pathText } from '../output/path-text.ts';
import { formatBytes } from '../output/units.ts';
import { wholeNumber } from '../values.ts';
import { temporaryPlace, withExported } from './export.ts';
import type { BfcFiles, Packed, PackOptions } from './files.ts';
import { secretFor, writeSecret } from './secrets.ts';
import { withProgress } from './work.ts';

type Pack = (
  source: Pick<PackOptions, 'source' | 'signal' | 'progress'> & Partial<PackOptions>,
) => ReturnType<BfcFiles['pack']>;

/**
 * Writes images or files into a BFC file, and prints its images and its size. What is no file is an image of the server's store.
 * @throws UsageError, CriError
 */
export async function packFile(context: CliContext, input: Input): Promise<void> {
  const [source = '', file = ''] = input.args;
  if (!(await isPresent(source))) {
    if (input.text('image') !== undefined) throw new UsageError('--image needs a SOURCE that is a BFC file');
    await write(context, input, file, async (pack, work) => {
      try {
        return await packStored(context, input, { image: source, ...work }, pack);
      } catch (error) {
        const isUnknown =
          error instanceof CriError && (error.code === StatusCode.NOT_FOUND || error.code === StatusCode.UNAVAILABLE);
        if (!isUnknown) throw error;
        throw new CriError(
          error.code,
          `${JSON.stringify(source)}: there is no such file; as an image: ${error.message}`,
        );
      }
    });
    return;
  }
  const { ask } = await secretFor(context, input, { asks: true, prefix: 'source-' });
  await write(context, input, file, (pack, work) =>
    pack({ ...work, source: resolve(source), sourceSecret: ask, image: input.text('image') }),
  );
}

/** Writes an image of the server's store into a BFC file. @throws UsageError, CriError */
export async function exportFile(context: CliContext, input: Input): Promise<void> {
  const [image = '', file = ''] = input.args;
  await write(context, input, file, (pack, work) => packStored(context, input, { image, ...work }, pack));
}

type Work = Pick<PackOptions, 'signal' | 'progress'>;

function packStored(
  context: CliContext,
  input: Input,
  { image, signal, progress }: Work & { image: string },
  pack: Pack,
): Promise<Packed> {
  return withExported(context, input, { image, signal }, (archive, remove) =>
    pack({ source: archive, opened: remove, signal, progress }),
  );
}

/** Writes a BFC file as the options say, and prints the result. */
async function write(
  context: CliContext,
  input: Input,
  file: string,
  pack: (pack: Pack, work: Work) => Promise<Packed>,
): Promise<void> {
  if (!input.has('force') && (await isPresent(file))) {
    throw new CriError(
      StatusCode.ALREADY_EXISTS,
      `${quoted(resolve(file))}: already exists; choose another name, or use --force`,
    );
  }
  const level = wholeNumber('level', input.text('level') ?? '3', 0, 22);
  const secret = await writeSecret(context, input, file);
  const files = await context.bfcFiles();
  const { result: packed, seconds } = await withProgress(context, ({ line, ...work }) =>
    pack(
      (source) =>
        files.pack({
          temporary: temporaryPlace(context),
          sourceSecret: () => Promise.resolve(undefined),
          image: undefined,
          name: input.text('name'),
          ...source,
          file: resolve(file),
          secret,
          level: level === 0 ? undefined : level,
          replaces: input.has('force'),
          skipped: (path) => {
            line.end();
            context.stderr.write(`skipped: ${pathText(Buffer.from(path, 'latin1'))}\n`);
          },
        }),
      work,
    ),
  );
  if (input.has('json')) {
    context.stdout.write(formatJson(packed));
    return;
  }
  for (const { id, names } of packed.images) context.stdout.write(`${[id, ...names].join(' ')}\n`);
  context.stderr.write(`${packed.file}: ${formatBytes(BigInt(packed.size))} in ${seconds.toFixed(1)} s\n`);
}

async function isPresent(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}
