import { Metadata } from '@grpc/grpc-js';
import type { ServiceError } from '@grpc/grpc-js';
import { statusCodeOf } from '../core/model/errors.ts';
import { messageOf } from '../utils/errors.ts';

/** Bytes of a status message that fit the peer's limit for HTTP/2 headers. */
const LONGEST_MESSAGE = 3500;

/** Maps the error of a handler to a gRPC status by {@link statusCodeOf}; the only place that does. The kubelet shows its message. */
export function toServiceError(error: unknown): ServiceError {
  const code = statusCodeOf(error);
  const details = shorten(messageOf(error));
  return Object.assign(new Error(details), { code, details, metadata: new Metadata() });
}

function shorten(text: string): string {
  return text.length <= LONGEST_MESSAGE ? text : `${text.slice(0, LONGEST_MESSAGE)}… (truncated; see the log)`;
}
