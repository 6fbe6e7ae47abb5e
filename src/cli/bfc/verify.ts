import { resolve } from 'node:path';
import { printable } from '../../core/logging/escape.ts';
import { CriError, StatusCode } from '../../core/model/errors.ts';
import type { CliContext, Input } from '../command.ts';
import { formatJson } from '../output/json.ts';
import { formatBytes, formatCount } from '../output/units.ts';
import { secretFor } from './secrets.ts';
import { withProgress } from './work.ts';

/** Verifies a BFC file. @throws CriError with a line for each damaged entry; UsageError. */
export async function verifyFile(context: CliContext, input: Input): Promise<void> {
  const deep = input.has('deep');
  const { ask: secret } = await secretFor(context, input, { asks: deep });
  const files = await context.bfcFiles();
  const { result, seconds } = await withProgress(context, ({ signal, progress }) =>
    files.verify({ file: resolve(input.args[0] ?? ''), secret, deep, signal, progress }),
  );
  const { file, entries, bytes, failed, problems } = result;
  if (input.has('json')) context.stdout.write(formatJson(result));
  if (failed > 0) {
    const more = failed > problems.length ? [`and ${String(failed - problems.length)} more`] : [];
    throw new CriError(StatusCode.DATA_LOSS, [...problems.map(({ message }) => message), ...more].join('\n'));
  }
  if (input.has('json')) return;
  const size = formatBytes(BigInt(bytes));
  const read = deep
    ? `${size} read in ${seconds.toFixed(1)} s, no damage`
    : 'index not damaged; --deep reads the contents';
  context.stdout.write(`${printable(file)}: ${formatCount(entries, 'entry')}, ${read}\n`);
}
