import { badParameters } from '../../http/api-error.ts';
import { knownTo, type Property, type Release, type Schema, type Values } from './property.ts';

const types: Record<Property['type'], RegExp> = {
  string: /^/,
  integer: /^[+-]?\d+$/,
  number: /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$/,
  boolean: /^[01]$/,
};

/** The text of a value of a JSON body; undefined for what is no scalar. */
function scalar(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return String(value);
  if (typeof value === 'boolean') return value ? '1' : '0';
  return undefined;
}

/** What is wrong with `value` as `property`, in the node's words; undefined when nothing is. */
function complaint(property: Property, value: string, name: string, release: Release): string | undefined {
  if (!types[property.type].test(value)) return `type check ('${property.type}') failed - got '${value}'`;
  const format = property.format?.(value, name, release);
  if (format !== undefined) return `invalid format - ${format}`;
  if (property.type === 'integer' || property.type === 'number') {
    const number = Number(value);
    if (property.minimum !== undefined && number < property.minimum) {
      return `value must have a minimum value of ${property.minimum}`;
    }
    if (property.maximum !== undefined && number > property.maximum) {
      return `value must have a maximum value of ${property.maximum}`;
    }
    return undefined;
  }
  if (property.maxLength !== undefined && value.length > property.maxLength) {
    return `value may only be ${property.maxLength} characters long`;
  }
  if (property.minLength !== undefined && value.length < property.minLength) {
    return `value must be at least ${property.minLength} characters long`;
  }
  if (property.pattern !== undefined && new RegExp(`^(?:${property.pattern.source})$`).exec(value) === null) {
    return 'value does not match the regex pattern';
  }
  if (property.enum !== undefined && !property.enum.includes(value)) {
    return `value '${value}' does not have a value in the enumeration '${property.enum.join(', ')}'`;
  }
  return undefined;
}

/** Errors by parameter of `given` against `schema`, as the node of `release` finds them. */
export function complaints(
  schema: Schema,
  given: Readonly<Record<string, unknown>>,
  release: Release,
): Record<string, string> {
  const errors: Record<string, string> = {};
  for (const [name, value] of Object.entries(given)) {
    const property = schema[name];
    if (property === undefined || !knownTo(property, release)) {
      errors[name] = 'property is not defined in schema and the schema does not allow additional properties';
      continue;
    }
    const written = scalar(value);
    const error =
      written === undefined
        ? `type check ('${property.type}') failed - got ${Array.isArray(value) ? 'ARRAY' : 'HASH'}`
        : complaint(property, written, name, release);
    if (error !== undefined) errors[name] = error;
  }
  for (const [name, property] of Object.entries(schema)) {
    if (property.required === true && given[name] === undefined) {
      errors[name] = 'property is missing and it is not optional';
    }
  }
  return errors;
}

/**
 * The values of a request, checked against `schema`. Integers and booleans become numbers; other numbers stay text, as
 * the node keeps them.
 * @throws ApiError 400 with every error.
 */
export function checkParameters(schema: Schema, given: Readonly<Record<string, unknown>>, release: Release): Values {
  const errors = complaints(schema, given, release);
  if (Object.keys(errors).length > 0) throw badParameters(errors);
  return Object.fromEntries(
    Object.entries(given).map(([name, value]) => {
      const written = scalar(value) ?? '';
      const { type } = schema[name]!;
      return [name, type === 'integer' || type === 'boolean' ? Number(written) : written];
    }),
  );
}
