import { Metadata, status } from '@grpc/grpc-js';
import type { ServiceError } from '@grpc/grpc-js';
import { CriError } from '../core/model/errors.ts';
import { isErrno, messageOf } from '../utils/errors.ts';

/** System errors that end when something else is removed or ends. */
const EXHAUSTED = ['EMFILE', 'ENFILE', 'ENOMEM', 'ENOSPC', 'EDQUOT'];

/** Bytes of a status message that fit the peer's limit for HTTP/2 headers. */
const LONGEST_MESSAGE = 3500;

/**
 * Maps the error of a handler to a gRPC status; the only place that does. A CriError keeps its code; an abort is CANCELLED or
 * DEADLINE_EXCEEDED; a lack of disk space, memory or file descriptors is RESOURCE_EXHAUSTED; every other error is UNKNOWN,
 * whose message the kubelet shows.
 */
export function toServiceError(error: unknown): ServiceError {
  const code = codeOf(error);
  const details = shorten(messageOf(error));
  return Object.assign(new Error(details), { code, details, metadata: new Metadata() });
}

/** The name of a status code, as metrics and logs show it: `OK`, `NOT_FOUND`. */
export function codeName(code: number): string {
  return status[code] ?? String(code);
}

function codeOf(error: unknown): status {
  if (error instanceof CriError) return error.code;
  if (error instanceof Error && error.name === 'TimeoutError') return status.DEADLINE_EXCEEDED;
  if (error instanceof Error && error.name === 'AbortError') return status.CANCELLED;
  if (isErrno(error, ...EXHAUSTED)) return status.RESOURCE_EXHAUSTED;
  return status.UNKNOWN;
}

function shorten(text: string): string {
  return text.length <= LONGEST_MESSAGE ? text : `${text.slice(0, LONGEST_MESSAGE)}… (truncated; see the log)`;
}
