import { CriError, StatusCode } from '../../../core/model/errors.ts';

/** What went wrong, by what a caller can do about it. */
export const KIND_CODES = {
  notFound: StatusCode.NOT_FOUND,
  alreadyExists: StatusCode.ALREADY_EXISTS,
  /** Something uses it for the moment: a process, a mount, another command. */
  busy: StatusCode.UNAVAILABLE,
  /** Clones, children or holds depend on it. */
  inUse: StatusCode.FAILED_PRECONDITION,
  permission: StatusCode.PERMISSION_DENIED,
  /** The pool has no room. */
  full: StatusCode.RESOURCE_EXHAUSTED,
  /** A quota leaves no room. */
  quota: StatusCode.RESOURCE_EXHAUSTED,
  /** The pool waits for its devices: nothing is written until `zpool clear`. */
  suspended: StatusCode.UNAVAILABLE,
  poolUnavailable: StatusCode.UNAVAILABLE,
  /** The pool of the dataset is not imported: what is on it is not lost. */
  notImported: StatusCode.UNAVAILABLE,
  readOnly: StatusCode.FAILED_PRECONDITION,
  keyNotLoaded: StatusCode.FAILED_PRECONDITION,
  mounted: StatusCode.FAILED_PRECONDITION,
  notMounted: StatusCode.FAILED_PRECONDITION,
  /** The target of a receive or rollback has changed since. */
  diverged: StatusCode.FAILED_PRECONDITION,
  /** This version, pool or kind of dataset cannot do it. */
  unsupported: StatusCode.FAILED_PRECONDITION,
  /** There is no ZFS on this host: its tools or its kernel modules are missing. */
  noZfs: StatusCode.UNAVAILABLE,
  invalid: StatusCode.INVALID_ARGUMENT,
  badStream: StatusCode.DATA_LOSS,
  io: StatusCode.DATA_LOSS,
  timeout: StatusCode.DEADLINE_EXCEEDED,
  /** Output that no version is known to print. */
  badAnswer: StatusCode.INTERNAL,
  failed: StatusCode.UNKNOWN,
} as const satisfies Record<string, StatusCode>;

export type ErrorKind = keyof typeof KIND_CODES;

/** A failure of `zfs` or `zpool`. The message names the dataset or pool, then the reason, then the remedy. */
export class ZfsError extends CriError {
  readonly kind: ErrorKind;
  /** The dataset, snapshot or pool that the failure is about. */
  readonly object: string;

  constructor(kind: ErrorKind, object: string, message: string, options?: ErrorOptions) {
    super(KIND_CODES[kind], message, options);
    this.name = 'ZfsError';
    this.kind = kind;
    this.object = object;
  }
}

/** The dataset was created, and could not be mounted. `zfs` takes that for a success. */
export class UnmountedError extends ZfsError {}

/** True for a {@link ZfsError} of one of the kinds. */
export function isKind(error: unknown, ...kinds: ErrorKind[]): error is ZfsError {
  return error instanceof ZfsError && kinds.includes(error.kind);
}
