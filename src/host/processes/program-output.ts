import { PassThrough, type Readable } from 'node:stream';
import type { StepResult } from '../native/messages.ts';
import { type ProgramStep, startKillable } from './start-program.ts';

export interface OutputOptions {
  /** Bytes that the stream has ready. */
  readyBytes: number;
  /** The stream's error when the program fails. */
  failure: (result: StepResult) => Error;
  /** Kills the program. */
  signal?: AbortSignal | undefined;
}

/**
 * A program's standard output as a stream. It ends when the program has ended with code 0, and is destroyed with an error
 * otherwise; destroying it kills the program.
 * @throws as {@link startKillable}.
 */
export async function programOutput(
  step: Omit<ProgramStep<1>, 'pipes'>,
  { readyBytes, failure, signal }: OutputOptions,
): Promise<Readable> {
  const { pipes, ended, kill } = await startKillable({ ...step, pipes: { 1: 'out' } }, signal);
  const output = new PassThrough({ highWaterMark: readyBytes });
  output.once('close', () => {
    kill();
    pipes[1].destroy();
  });
  // It may occur before the reader is there, which still receives it.
  output.on('error', () => undefined);
  const read = new Promise((resolve) => pipes[1].once('close', resolve));
  pipes[1].pipe(output, { end: false });
  Promise.all([ended, read]).then(
    ([result]) => {
      if (result.exit?.code === 0) output.end();
      else output.destroy(failure(result));
    },
    (error: unknown) => output.destroy(error as Error),
  );
  return output;
}
