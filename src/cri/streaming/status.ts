import { messageOf } from '../../utils/errors.ts';

/** How a session ended: with an exit code, or because something failed. */
export type Outcome = { exitCode: number } | { error: unknown };

/**
 * The last message on the error stream from protocol version 4 on: a Kubernetes Status object, whose cause `ExitCode` is
 * where kubectl finds the code.
 */
export function statusMessage(outcome: Outcome): string {
  if ('error' in outcome) {
    const message = messageOf(outcome.error);
    return JSON.stringify({
      metadata: {},
      status: 'Failure',
      message,
      reason: 'InternalError',
      details: { causes: [{ message }] },
      code: 500,
    });
  }
  if (outcome.exitCode === 0) return JSON.stringify({ metadata: {}, status: 'Success' });
  return JSON.stringify({
    metadata: {},
    status: 'Failure',
    message: exitMessage(outcome.exitCode),
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: String(outcome.exitCode) }] },
  });
}

/** The same before version 4: a sentence, and nothing at all for success. */
export function plainMessage(outcome: Outcome): string {
  if ('error' in outcome) return messageOf(outcome.error);
  return outcome.exitCode === 0 ? '' : exitMessage(outcome.exitCode);
}

function exitMessage(code: number): string {
  return `command terminated with non-zero exit code: exit status ${String(code)}`;
}
