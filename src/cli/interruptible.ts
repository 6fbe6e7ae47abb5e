import type { CliContext } from './command.ts';

/** Runs work that a signal aborts; later signals do not disturb its clean-up. */
export async function interruptible<T>(context: CliContext, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const abort = new AbortController();
  const unsubscribe = context.onSignal((signal) => {
    abort.abort(new Error(`interrupted by ${signal}`));
  });
  try {
    return await work(abort.signal);
  } finally {
    unsubscribe();
  }
}
