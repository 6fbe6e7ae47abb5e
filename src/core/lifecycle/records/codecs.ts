import * as z from 'zod';

/** An integer of any size, stored as its decimal digits; format 1 has the integer itself. */
export const integer = z.codec(z.union([z.string().regex(/^-?\d+$/), z.bigint()]), z.bigint(), {
  decode: (digits) => BigInt(digits),
  encode: (value) => value.toString(),
});

/**
 * Strings by arbitrary keys, such as labels, stored unchanged. Zod's record type drops the key `__proto__`, which is valid.
 */
export const dictionary = z.custom<Record<string, string>>(
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((one) => typeof one === 'string'),
  'must be an object of strings',
);

/** A JSON value, stored unchanged. */
export function json<T extends object>() {
  return z.custom<T>(isObject, 'must be an object');
}

/** Records of one kind, including those of earlier versions, which `upgrade` converts to the current format. */
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
