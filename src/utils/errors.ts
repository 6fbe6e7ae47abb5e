/** True for a Node.js system error with one of the given codes, such as `ENOENT`. */
export function isErrno(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(error.code);
}

/** Where a value is in a document, `a.0.b`, for messages; cut after 200 characters, for keys may have any length. */
export function formatPlace(path: readonly PropertyKey[]): string {
  const place = path.map(String).join('.');
  return place.length > 200 ? `${place.slice(0, 200)}…` : place;
}

/** The message of any thrown value, never empty. */
export function messageOf(error: unknown): string {
  if (error instanceof Error) return error.message || error.name;
  return String(error);
}
