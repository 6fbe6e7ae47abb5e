import { complaints } from './check.ts';
import { text, type Format, type Property, type Release, type Schema } from './property.ts';

/** A property string: keys, and the one whose name may be left out. */
export interface PropertyString {
  readonly keys: Schema;
  readonly defaultKey?: string;
}

/** What is wrong with a property string; `errors` by key where single keys are. */
export class FormatError extends Error {
  readonly errors: Record<string, string> | undefined;

  constructor(message: string, errors?: Record<string, string>) {
    super(message);
    this.name = 'FormatError';
    this.errors = errors;
  }
}

const booleans: Record<string, string> = {
  '1': '1',
  on: '1',
  yes: '1',
  true: '1',
  '0': '0',
  off: '0',
  no: '0',
  false: '0',
};

/**
 * The values of the property string `written` by key. There is no escaping: a comma always separates.
 * @throws FormatError
 */
export function parsePropertyString(
  format: PropertyString,
  written: string,
  release: Release = '9.2',
): Record<string, string> {
  const values: Record<string, string> = {};
  for (const part of written.split(',')) {
    if (part === '') continue;
    const equals = part.indexOf('=');
    const key = equals > 0 ? part.slice(0, equals) : format.defaultKey;
    if (key === undefined) throw new FormatError('value without key, but schema does not define a default key');
    if (key in values) throw new FormatError(`duplicate key in comma-separated list property: ${key}`);
    const value = equals > 0 ? part.slice(equals + 1) : part;
    // The words for booleans are understood here and nowhere else.
    values[key] = format.keys[key]?.type === 'boolean' ? (booleans[value.toLowerCase()] ?? value) : value;
  }
  const errors = complaints(format.keys, values, release);
  if (Object.keys(errors).length > 0) throw new FormatError('format error', errors);
  return values;
}

/** Writes values as the node does: the default key, the required ones, the others, each group in order. */
export function printPropertyString(format: PropertyString, values: Readonly<Record<string, string>>): string {
  const rank = (key: string): string =>
    (key === format.defaultKey ? '0' : format.keys[key]?.required === true ? '1' : '2') + key;
  return Object.keys(values)
    .sort((a, b) => (rank(a) < rank(b) ? -1 : 1))
    .map((key) => (key === format.defaultKey ? values[key]! : `${key}=${values[key]!}`))
    .join(',');
}

/** The check of a parameter that holds a property string. */
export function propertyStringFormat(format: PropertyString): Format {
  return (written, name, release) => {
    try {
      parsePropertyString(format, written, release);
      return undefined;
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      const lines = Object.entries(error.errors ?? {})
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, message]) => `${name}.${key}: ${message}`);
      return [error.message, ...lines, ''].join('\n');
    }
  };
}

/** A text parameter that holds a property string. */
export function propertyString(
  keys: Schema,
  defaultKey?: string,
  more: Omit<Property, 'type' | 'format'> = {},
): Property {
  return text({ ...more, format: propertyStringFormat({ keys, ...(defaultKey === undefined ? {} : { defaultKey }) }) });
}
