import type { CliContext } from './command.ts';

/** Resolves on the first signal, which then does not end the process. */
export function untilSignal(context: CliContext): Promise<void> {
  return new Promise((resolve) => {
    const unsubscribe = context.onSignal(() => {
      unsubscribe();
      resolve();
    });
  });
}
