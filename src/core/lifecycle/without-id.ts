import { CriError } from '../model/errors.ts';

/**
 * The error of a creation without its generated id: the kubelet retries with another id, and aggregates errors with the same
 * message into one event.
 */
export function withoutId(error: unknown, id: string): unknown {
  if (!(error instanceof CriError) || !error.message.includes(id)) return error;
  return new CriError(error.code, error.message.replaceAll(id, '<id>'), { cause: error });
}
