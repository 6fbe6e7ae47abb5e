import * as z from 'zod';

// Perl does not tell numbers from strings, nor undef from absent: the same field comes as 1, "1", 1.0, null or not at all.

/** A number, also as text: "0.03". */
export const number = z.preprocess((value) => {
  if (typeof value === 'boolean') return Number(value);
  return typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
}, z.number());

/** A boolean: 1, 0, "1", "0", "", true, false. */
export const boolean = z.preprocess((value) => {
  if (value === 1 || value === '1') return true;
  if (value === 0 || value === '0' || value === '') return false;
  return value;
}, z.boolean());

/** A text, also one that looks like a number. */
export const text = z.preprocess((value) => {
  if (typeof value === 'boolean') return value ? '1' : '0';
  return typeof value === 'number' ? String(value) : value;
}, z.string());

/** A field that may be absent or null. */
export function optional<T extends z.ZodType>(schema: T) {
  return z.preprocess((value) => (value === null ? undefined : value), schema.optional());
}

/** A list that may be null where there is nothing. */
export function listOf<T extends z.ZodType>(schema: T) {
  return z.preprocess((value) => value ?? [], z.array(schema));
}

/** A list in one text, separated by commas, semicolons or blanks, as tags and node lists are. */
export const words = z.preprocess(
  (value) => (typeof value === 'string' ? value.split(/[,;\s]+/).filter(Boolean) : (value ?? [])),
  z.array(z.string()),
);

/** Whatever an answer holds that nobody reads, as the null of a change. */
export const ignored = z.unknown().transform(() => undefined);
