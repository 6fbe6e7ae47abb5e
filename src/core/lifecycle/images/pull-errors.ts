import { isErrno, messageOf } from '../../../utils/errors.ts';
import { CriError, StatusCode } from '../../model/errors.ts';

/** Whether the registry was unavailable, by the prefix that the kubelet uses. */
export function isUnavailable(error: unknown): boolean {
  return error instanceof CriError && error.message.startsWith('RegistryUnavailable');
}

/** The error of a write for which there was no space; undefined for another error. */
export function fullDisk(error: unknown): CriError | undefined {
  if (!isErrno(error, 'ENOSPC', 'EDQUOT')) return undefined;
  return new CriError(StatusCode.RESOURCE_EXHAUSTED, `no space left for the image: ${messageOf(error)}`, {
    cause: error,
  });
}
