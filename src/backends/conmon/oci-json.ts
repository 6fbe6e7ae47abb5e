/** RLIM_INFINITY (getrlimit(2)), which exceeds JavaScript's numbers. */
const INFINITE = '18446744073709551615';

// Of ECMAScript 2026; TypeScript's library lacks it.
const { rawJSON } = JSON as unknown as { rawJSON: (text: string) => unknown };

/** What the OCI runtime reads, as JSON; Infinity becomes the largest number of 64 bits, which means no limit. */
export function ociJson(value: object): string {
  return JSON.stringify(value, (_key, member: unknown) => (member === Infinity ? rawJSON(INFINITE) : member));
}

/**
 * The reverse of ociJson.
 * @throws SyntaxError for invalid JSON.
 */
export function parseOciJson(text: string): unknown {
  return JSON.parse(text, (_key, member: unknown) => (member === Number(INFINITE) ? Infinity : member));
}
