import { messageOf } from '../../utils/errors.ts';

/** Outcome of a streaming session: an exit code or an error. */
export type Outcome = { exitCode: number } | { error: unknown };

/**
 * The last message on the error stream since protocol version 4: a Kubernetes Status object; kubectl reads the exit code from
 * its cause `ExitCode`.
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

/** The same before version 4: a sentence, or nothing for success. */
export function plainMessage(outcome: Outcome): string {
  if ('error' in outcome) return messageOf(outcome.error);
  return outcome.exitCode === 0 ? '' : exitMessage(outcome.exitCode);
}

function exitMessage(code: number): string {
  return `command terminated with non-zero exit code: exit status ${String(code)}`;
}
