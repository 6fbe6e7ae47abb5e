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

/** What generated code knows of a message. */
interface MessageType<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
  fromPartial(message: object): T;
}

/**
 * A message of the CRI, stored as base64 of its wire form: it comes back as it once came in the request, whatever its keys
 * and values are. A record of format 1 holds it as an object.
 */
export function message<T extends object>(type: MessageType<T>) {
  return z.codec(z.union([z.base64(), z.custom<object>(isObject)]), z.custom<T>(isObject), {
    decode: (stored) =>
      typeof stored === 'string' ? type.decode(Buffer.from(stored, 'base64')) : type.fromPartial(stored),
    encode: (value) => Buffer.from(type.encode(value).finish()).toString('base64'),
  });
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
