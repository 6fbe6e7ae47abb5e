import { CriError, StatusCode } from '../../../core/model/errors.ts';
import type { Call } from '../call.ts';
import { pathOf } from '../call.ts';

/** What went wrong, by what a caller can do about it. */
export const KIND_CODES = {
  /** The guest, task, volume, pool, node … is not there. */
  notFound: StatusCode.NOT_FOUND,
  alreadyExists: StatusCode.ALREADY_EXISTS,
  alreadyRunning: StatusCode.FAILED_PRECONDITION,
  notRunning: StatusCode.FAILED_PRECONDITION,
  /** What was asked for needs a stopped guest. */
  running: StatusCode.FAILED_PRECONDITION,
  /** The guest's configuration has a lock, which may last for hours (a backup). */
  locked: StatusCode.FAILED_PRECONDITION,
  /** Somebody else held a lock for longer than the server waits. */
  lockTimeout: StatusCode.UNAVAILABLE,
  /** Deleting is forbidden by the guest's own configuration. */
  protected: StatusCode.FAILED_PRECONDITION,
  /** Something refers to the object: HA, members of a pool, clones. */
  inUse: StatusCode.FAILED_PRECONDITION,
  /** A dataset or device is in use for the moment. */
  busy: StatusCode.UNAVAILABLE,
  /** The configuration was changed since it was read. */
  modified: StatusCode.ABORTED,
  invalid: StatusCode.INVALID_ARGUMENT,
  forbidden: StatusCode.PERMISSION_DENIED,
  /** Only a ticket of root@pam may do it; a token of root may not. */
  rootOnly: StatusCode.PERMISSION_DENIED,
  unauthenticated: StatusCode.UNAUTHENTICATED,
  noQuorum: StatusCode.UNAVAILABLE,
  full: StatusCode.RESOURCE_EXHAUSTED,
  exhausted: StatusCode.RESOURCE_EXHAUSTED,
  /** The state of the guest or the kind of storage does not allow it. */
  unsupported: StatusCode.FAILED_PRECONDITION,
  /** This version of Proxmox VE has no such method. */
  notImplemented: StatusCode.UNIMPLEMENTED,
  /** No host, or not the node, could be reached. */
  unreachable: StatusCode.UNAVAILABLE,
  timeout: StatusCode.DEADLINE_EXCEEDED,
  aborted: StatusCode.CANCELLED,
  /** An answer that this API never gives. */
  badAnswer: StatusCode.INTERNAL,
  failed: StatusCode.UNKNOWN,
} as const satisfies Record<string, StatusCode>;

export type ErrorKind = keyof typeof KIND_CODES;

/** What is known about a failure beside its message. */
export interface ErrorDetails {
  kind: ErrorKind;
  call: Call;
  /** The HTTP status, 0 when there was no answer. */
  status?: number;
  /** What is wrong with which parameter. */
  parameters?: Readonly<Record<string, string>>;
  /** The missing privilege, or several of which one would do, and the path of the access control list. */
  privilege?: { names: string[]; path: string };
  /** The lock that is in the way: `backup`, `migrate`, … */
  lock?: string;
  /** What failed, where that says more than the call. */
  subject?: string;
}

/** A failure of the Proxmox API that has changed nothing. The message holds the call and the server's words, no secrets. */
export class ProxmoxError extends CriError {
  readonly kind: ErrorKind;
  readonly details: Readonly<Omit<ErrorDetails, 'call' | 'kind' | 'subject'>>;
  /** The call as `METHOD /path/{template}`. */
  readonly endpoint: string;

  constructor(message: string, { call, kind, subject = describe(call), ...details }: ErrorDetails) {
    super(KIND_CODES[kind], `Proxmox API: ${subject}: ${message}`);
    this.name = 'ProxmoxError';
    this.kind = kind;
    this.details = details;
    this.endpoint = endpointOf(call);
  }
}

/**
 * A call that changes something has failed, and may nevertheless have changed it: the state must be read before anything
 * is repeated.
 */
export class AmbiguousOutcomeError extends ProxmoxError {
  /** The paths of the API that show what is true now. */
  readonly reread: readonly string[];

  constructor(message: string, details: ErrorDetails, reread: readonly string[]) {
    super(`${message}; it may have been done: read ${reread.join(' and ')}`, details);
    this.name = 'AmbiguousOutcomeError';
    this.reread = reread;
  }
}

/** The name of a call in metrics and errors: few values, without ids. */
export function endpointOf({ method, template }: Call): string {
  return `${method} ${template}`;
}

/** The call with its ids, without its parameters: those may be secret. */
function describe({ method, template, at = {} }: Call): string {
  return `${method} ${pathOf({ method, template, at }).replace('/api2/json', '')}`;
}

/** True for a {@link ProxmoxError} of one of the kinds. */
export function isKind(error: unknown, ...kinds: ErrorKind[]): error is ProxmoxError {
  return error instanceof ProxmoxError && kinds.includes(error.kind);
}
