/**
 * gRPC status codes of this server (numbers of the gRPC specification), defined here so that only `cri/` depends on gRPC.
 */
export const StatusCode = {
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;
export type StatusCode = (typeof StatusCode)[keyof typeof StatusCode];

/**
 * The error type between modules: a gRPC status code and a message for the operator that names the problem and, if possible,
 * the remedy. `cri/` maps it to a gRPC status; every other error becomes INTERNAL or UNKNOWN there.
 */
export class CriError extends Error {
  readonly code: StatusCode;

  constructor(code: StatusCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'CriError';
    this.code = code;
  }
}

/** INVALID_ARGUMENT: `field` is the path of the offending request field, `problem` names the problem and the remedy. */
export function invalidArgument(field: string, problem: string): CriError {
  return new CriError(StatusCode.INVALID_ARGUMENT, `${field}: ${problem}`);
}

/** NOT_FOUND for an object of kind `kind` ("container", "pod sandbox", "image"). */
export function notFound(kind: string, id: string): CriError {
  return new CriError(StatusCode.NOT_FOUND, `${kind} ${JSON.stringify(id)} not found`);
}

/** FAILED_PRECONDITION: the object is in a state that does not allow the call. */
export function failedPrecondition(message: string, cause?: unknown): CriError {
  return new CriError(StatusCode.FAILED_PRECONDITION, message, { cause });
}

/** UNAVAILABLE: a part this server needs is missing or not ready; the caller may try again. */
export function unavailable(message: string, cause?: unknown): CriError {
  return new CriError(StatusCode.UNAVAILABLE, message, { cause });
}

/** UNIMPLEMENTED: the request requires `what`, which this server does not support. */
export function unimplemented(what: string): CriError {
  return new CriError(StatusCode.UNIMPLEMENTED, `${what} is not implemented`);
}

/** UNKNOWN, the code the kubelet shows to users verbatim and searches for the magic prefixes of cri-api/pkg/errors. */
export function unknown(message: string, cause?: unknown): CriError {
  return new CriError(StatusCode.UNKNOWN, message, { cause });
}

/** DEADLINE_EXCEEDED: the time the caller allowed is over. */
export function deadlineExceeded(message: string): CriError {
  return new CriError(StatusCode.DEADLINE_EXCEEDED, message);
}

/** True for a {@link CriError} with NOT_FOUND. */
export function isNotFound(error: unknown): boolean {
  return error instanceof CriError && error.code === StatusCode.NOT_FOUND;
}

/** System errors that end when something else is removed or ends. */
const EXHAUSTED: readonly unknown[] = ['EMFILE', 'ENFILE', 'ENOMEM', 'ENOSPC', 'EDQUOT'];

/**
 * The status code of any error. A CriError keeps its code; an abort is CANCELLED or DEADLINE_EXCEEDED; a lack of disk space, memory or
 * file descriptors is RESOURCE_EXHAUSTED; every other error is UNKNOWN.
 */
export function statusCodeOf(error: unknown): StatusCode {
  if (error instanceof CriError) return error.code;
  if (!(error instanceof Error)) return StatusCode.UNKNOWN;
  if (error.name === 'TimeoutError') return StatusCode.DEADLINE_EXCEEDED;
  if (error.name === 'AbortError') return StatusCode.CANCELLED;
  return 'code' in error && EXHAUSTED.includes(error.code) ? StatusCode.RESOURCE_EXHAUSTED : StatusCode.UNKNOWN;
}

const NAMES = new Map<number, string>(Object.entries(StatusCode).map(([name, code]) => [code, name]));

/** The name of a status code, as metrics and logs show it: `OK`, `NOT_FOUND`. */
export function codeName(code: number): string {
  return code === 0 ? 'OK' : (NAMES.get(code) ?? String(code));
}
