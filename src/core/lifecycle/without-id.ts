import { CriError } from '../model/errors.ts';

/**
 * The error of a creation without the id that was made for it: the kubelet repeats the call with another one, and shows
 * errors of the same words as one event.
 */
export function withoutId(error: unknown, id: string): unknown {
  if (!(error instanceof CriError) || !error.message.includes(id)) return error;
  return new CriError(error.code, error.message.replaceAll(id, '<id>'), { cause: error });
}
