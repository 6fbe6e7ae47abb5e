import { PassThrough, pipeline, type Readable } from 'node:stream';
import type { StepResult } from '../native/messages.ts';
import { type ProgramStep, startKillable } from './start-program.ts';

export interface OutputOptions {
  /** Bytes that the stream has ready. */
  readyBytes: number;
  /** What the program gets as its standard input; an error of it becomes one of the output. */
  input?: Readable | undefined;
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
  { input, readyBytes, failure, signal }: OutputOptions,
): Promise<Readable> {
  const pipesTo = { 1: 'out' as const, ...(input && { 0: 'in' as const }) };
  const { pipes, ended, kill } = await startKillable<number>({ ...step, pipes: pipesTo }, signal);
  const [stdin, stdout] = [pipes[0], pipes[1]];
  const output = new PassThrough({ highWaterMark: readyBytes });
  output.once('close', () => {
    kill();
    input?.destroy();
    stdin?.destroy();
    stdout?.destroy();
  });
  // It may occur before the reader is there, which still receives it.
  output.on('error', () => undefined);
  input?.once('error', (error) => output.destroy(error));
  // What a program that ends early leaves is nobody's: its result says what was wrong.
  if (input && stdin) pipeline(input, stdin, () => undefined);
  const read = new Promise((resolve) => stdout?.once('close', resolve));
  stdout?.pipe(output, { end: false });
  Promise.all([ended, read]).then(
    ([result]) => {
      if (result.exit?.code === 0) output.end();
      else output.destroy(failure(result));
    },
    (error: unknown) => output.destroy(error as Error),
  );
  return output;
}
