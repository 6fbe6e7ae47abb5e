import { resolve } from 'node:path';
import type { CliContext, Input } from '../command.ts';
import { formatJson } from '../output/json.ts';
import { formatBytes, formatCount } from '../output/units.ts';
import { secretFor } from './secrets.ts';
import { withProgress } from './work.ts';

/** Unpacks a BFC file, or one image of it, into a directory. @throws UsageError, CriError */
export async function unpackFile(context: CliContext, input: Input): Promise<void> {
  const [file = '', directory = ''] = input.args;
  const { ask: secret } = await secretFor(context, input, { asks: true });
  const files = await context.bfcFiles();
  const { result, seconds } = await withProgress(context, ({ signal, progress }) =>
    files.unpack({
      file: resolve(file),
      secret,
      image: input.text('image'),
      directory: resolve(directory),
      signal,
      progress,
    }),
  );
  if (input.has('json')) {
    context.stdout.write(formatJson(result));
    return;
  }
  const size = formatBytes(BigInt(result.bytes));
  context.stderr.write(
    `${result.directory}: ${formatCount(result.entries, 'entry')}, ${size} in ${seconds.toFixed(1)} s\n`,
  );
}
