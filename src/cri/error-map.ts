import { Metadata, status } from '@grpc/grpc-js';
import type { ServiceError } from '@grpc/grpc-js';
import { CriError } from '../core/model/errors.ts';
import { messageOf } from '../utils/errors.ts';

/** Bytes of a status message that surely fit the peer's limit for HTTP/2 headers. */
const LONGEST_MESSAGE = 3500;

/**
 * Turns whatever a handler threw into what the caller gets: the only place where errors meet gRPC. A CriError keeps its
 * code; an abort becomes CANCELLED or DEADLINE_EXCEEDED; everything else is UNKNOWN, whose message the kubelet shows.
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
  return status.UNKNOWN;
}

function shorten(text: string): string {
  return text.length <= LONGEST_MESSAGE ? text : `${text.slice(0, LONGEST_MESSAGE)}… (shortened; the log has it whole)`;
}
