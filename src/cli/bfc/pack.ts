import { resolve } from 'node:path';
import { printable } from '../../core/logging/escape.ts';
import { type CliContext, type Input, UsageError } from '../command.ts';
import { formatJson } from '../output/json.ts';
import { formatBytes } from '../output/units.ts';
import { untilSignal } from '../until-signal.ts';
import { wholeNumber } from '../values.ts';
import { ProgressLine } from './progress-line.ts';

/** Writes images or files into a BFC file, and prints its images and its size. @throws UsageError, CriError */
export async function packFile(context: CliContext, input: Input): Promise<void> {
  const [source = '', file = ''] = input.args;
  const [keyFile, passwordFile] = [input.text('key-file'), input.text('password-file')];
  if (keyFile !== undefined && passwordFile !== undefined) {
    throw new UsageError('--key-file and --password-file exclude each other');
  }
  const level = wholeNumber('level', input.text('level') ?? '3', 0, 22);
  const abort = new AbortController();
  void untilSignal(context).then(() => {
    abort.abort(new Error('interrupted'));
  });
  const line = new ProgressLine(context.stderr);
  const packed = await context.packBfc({
    source: resolve(source),
    file: resolve(file),
    name: input.text('name'),
    keyFile,
    passwordFile,
    level: level === 0 ? undefined : level,
    replaces: input.has('force'),
    signal: abort.signal,
    progress: (done, total) => {
      line.update(done, total);
    },
    skipped: (path) => {
      line.end();
      context.stderr.write(`skipped: ${printable(Buffer.from(path, 'latin1').toString('utf8'))}\n`);
    },
  });
  line.end();
  if (input.has('json')) {
    context.stdout.write(formatJson(packed));
    return;
  }
  for (const { id, names } of packed.images) context.stdout.write(`${[id, ...names].join(' ')}\n`);
  context.stderr.write(`${packed.file}: ${formatBytes(BigInt(packed.size))}\n`);
}
