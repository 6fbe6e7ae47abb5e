import { randomBytes } from 'node:crypto';
import { CriError, StatusCode, notFound } from '../model/errors.ts';

/** A new id: 64 lower-case hexadecimal digits, as in containerd. */
export function newId(): string {
  return randomBytes(32).toString('hex');
}

/**
 * The object whose id is `given`, or the only one whose id starts with it.
 * @throws CriError NOT_FOUND; INVALID_ARGUMENT for an ambiguous prefix.
 */
export function findById<T extends { readonly id: string }>(kind: string, objects: readonly T[], given: string): T {
  const found = lookupById(kind, objects, given);
  if (found === undefined) throw notFound(kind, given);
  return found;
}

/** As {@link findById}, but undefined when there is none. */
export function lookupById<T extends { readonly id: string }>(
  kind: string,
  objects: readonly T[],
  given: string,
): T | undefined {
  if (given === '') throw new CriError(StatusCode.INVALID_ARGUMENT, `${kind} id: must not be empty`);
  const exact = objects.find((object) => object.id === given);
  if (exact !== undefined) return exact;
  const matches = objects.filter((object) => object.id.startsWith(given));
  if (matches.length > 1) {
    const ids = matches.map((object) => object.id.slice(0, 13)).join(', ');
    throw new CriError(
      StatusCode.INVALID_ARGUMENT,
      `${kind} id: "${given}" is ambiguous (${ids}); use a longer prefix`,
    );
  }
  return matches[0];
}
