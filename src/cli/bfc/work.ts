import type { CliContext } from '../command.ts';
import { interruptible } from '../interruptible.ts';
import type { WorkOptions } from './files.ts';
import { ProgressLine } from './progress-line.ts';

/** Runs work that a signal aborts and whose progress is shown on standard error. Returns its result, and the seconds it took. */
export async function withProgress<T>(
  context: CliContext,
  work: (options: WorkOptions & { line: ProgressLine }) => Promise<T>,
): Promise<{ result: T; seconds: number }> {
  const line = new ProgressLine(context.stderr);
  try {
    const progress: WorkOptions['progress'] = (done, total) => {
      line.update(done, total);
    };
    const result = await interruptible(context, (signal) => work({ signal, progress, line }));
    return { result, seconds: line.elapsedMs / 1000 };
  } finally {
    line.end();
  }
}
