import { z } from 'zod';

/** An integer of any size, stored as its decimal digits; reading format 1 gives the integer itself. */
export const integer = z.codec(z.union([z.string().regex(/^-?\d+$/), z.bigint()]), z.bigint(), {
  decode: (digits) => BigInt(digits),
  encode: (value) => value.toString(),
});

/**
 * Strings by arbitrary keys, such as labels, stored as they are. Zod's own record drops the key `__proto__`, which the user
 * may have chosen.
 */
export const dictionary = z.custom<Record<string, string>>(
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((one) => typeof one === 'string'),
  'must be an object of strings',
);

/** A value that is JSON already, stored as it is. */
export function json<T extends object>() {
  return z.custom<T>(isObject, 'must be an object');
}

/** Records of one kind, those of earlier versions too, which `upgrade` turns into what is written now. */
export function upgraded<S extends z.ZodObject>(
  schema: S,
  upgrade: (stored: Record<string, unknown>) => object,
): z.ZodCodec<z.ZodType<Record<string, unknown>>, S> {
  return z.codec(z.custom<Record<string, unknown>>(isObject, 'must be an object'), schema, {
    decode: (stored) => upgrade(stored) as z.input<S>,
    encode: (record) => record,
  });
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
