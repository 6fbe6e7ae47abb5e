/** An error of the API: status, message and errors by parameter, as the node answers them. */
export class ApiError extends Error {
  readonly status: number;
  readonly errors: Record<string, string> | undefined;

  constructor(status: number, message: string, errors?: Record<string, string>) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.errors = errors;
  }
}

/** What every `die` of the node's code becomes: a 500 with its message. */
export function fault(message: string): ApiError {
  return new ApiError(500, message);
}

/** 400 with the errors by parameter. */
export function badParameters(errors: Record<string, string>): ApiError {
  return new ApiError(400, 'Parameter verification failed.', errors);
}

/** 403, with what was checked where the node says it. */
export function forbidden(checked?: string): ApiError {
  return new ApiError(403, checked === undefined ? 'Permission check failed' : `Permission check failed (${checked})`);
}

/** 501 of a path or a method that the node does not know. */
export function notImplemented(method: string, path: string): ApiError {
  return new ApiError(501, `Method '${method} ${path}' not implemented`);
}

/** The message of anything thrown, without the newline that ends Perl's messages. */
export function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).trimEnd();
}
