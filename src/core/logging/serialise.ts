import { CriError } from '../model/errors.ts';
import { REDACTED, isSecretName, redactText } from './redact.ts';

/** A value that can be written as JSON. */
export type Plain = string | number | boolean | null | Plain[] | { [key: string]: Plain };

const MAX_DEPTH = 6;
const MAX_TEXT = 8192;
const MAX_ITEMS = 100;

/**
 * Converts any value: a bigint to its decimal string, an Error to its message, code, causes and (unless it is a CriError) stack,
 * bytes to their number. Replaces credentials, truncates long strings and lists, marks cycles and deep nesting. Never throws.
 */
export function serialise(value: unknown): Plain {
  return plain(value, []);
}

function plain(value: unknown, above: object[]): Plain {
  switch (typeof value) {
    case 'string':
      return cut(redactText(value));
    case 'number':
      return Number.isFinite(value) ? value : String(value);
    case 'boolean':
      return value;
    case 'bigint':
      return value.toString();
    case 'object':
      return value === null ? null : fromObject(value, above);
    default:
      return typeof value === 'undefined' ? null : `[${typeof value}]`;
  }
}

function fromObject(value: object, above: object[]): Plain {
  if (above.includes(value)) return '[circular]';
  if (above.length >= MAX_DEPTH) return '[deeper]';
  const path = [...above, value];
  try {
    if (value instanceof Error) return fromError(value, path);
    if (ArrayBuffer.isView(value)) return `[${String(value.byteLength)} bytes]`;
    if (value instanceof Date || value instanceof URL) return plain(value.toJSON(), path);
    if (value instanceof Map) return fromEntries(value.entries(), path);
    if (Array.isArray(value) || value instanceof Set) return fromList([...value], path);
    return fromEntries(Object.entries(value), path);
  } catch {
    return '[unreadable]'; // a getter or a proxy that throws
  }
}

function fromError(error: Error, path: object[]): Plain {
  const result: Record<string, Plain> = { message: cut(redactText(error.message || error.name)) };
  if ('code' in error) result['code'] = plain(error.code, path);
  if (error.cause !== undefined) result['cause'] = plain(error.cause, path);
  if (error instanceof AggregateError) result['errors'] = plain(error.errors, path);
  if (!(error instanceof CriError) && error.stack !== undefined) result['stack'] = cut(redactText(error.stack));
  return result;
}

function fromList(items: unknown[], path: object[]): Plain[] {
  const kept = items.slice(0, MAX_ITEMS).map((item) => plain(item, path));
  if (items.length > MAX_ITEMS) kept.push(`[${String(items.length - MAX_ITEMS)} more]`);
  return kept;
}

function fromEntries(entries: Iterable<[unknown, unknown]>, path: object[]): Plain {
  const result: [string, Plain][] = [];
  for (const [name, value] of entries) {
    if (value === undefined) continue;
    if (result.length === MAX_ITEMS) {
      result.push(['…', '[more]']);
      break;
    }
    result.push([String(name), isSecretName(String(name)) ? REDACTED : plain(value, path)]);
  }
  return Object.fromEntries(result);
}

function cut(text: string): string {
  return text.length <= MAX_TEXT
    ? text
    : `${text.slice(0, MAX_TEXT)}[${String(text.length - MAX_TEXT)} characters more]`;
}
