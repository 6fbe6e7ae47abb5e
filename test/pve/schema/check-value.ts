import { verifyFormat } from './formats.ts';
import { patternOf } from './pattern.ts';
import { PropertyStringError, splitPropertyString } from './property-string.ts';
import { addProblem, type Problems, type PropertyFormat, type ValueSchema } from './types.ts';

/** How a check treats what the schema leaves open. */
export interface CheckOptions {
  /**
   * An answer: a member that the schema does not name is a problem unless the schema allows others in so many words, and
   * rules that Proxmox applies to parameters alone (format, pattern, bounds, enumeration) are not applied.
   */
  answer?: boolean;
}

const UNKNOWN = 'property is not defined in schema and the schema does not allow additional properties';
const MISSING = 'property is missing and it is not optional';

/** A scalar as the text that Proxmox compares: `true` is 1, numbers and strings are one kind of thing. */
function scalarText(value: unknown): string | undefined {
  if (typeof value === 'boolean') return value ? '1' : '0';
  if (typeof value === 'number') return String(value);
  return typeof value === 'string' ? value : undefined;
}

const SCALARS: Record<string, RegExp> = {
  boolean: /^[01]$/,
  integer: /^[+-]?\d+$/,
  number: /^[+-]?(\d+\.\d+|\d+\.|\.\d+|\d+)([eE][+-]?\d+)?$/,
};

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What is wrong with the kind of a value, as Proxmox says it; scalars are compared after coercion. */
function typeProblem(type: string | undefined, value: unknown): string | undefined {
  if (type === undefined || type === 'any') return undefined;
  if (type === 'null') return `type check ('null') failed - value is not null`;
  if (type === 'array') return Array.isArray(value) ? undefined : `type check ('array') failed`;
  if (type === 'object') return isObject(value) ? undefined : `type check ('object') failed`;
  // Only a parameter that is a boolean may be one in JSON; a text or number is never taken from true.
  if (typeof value === 'boolean' && type !== 'boolean') return `type check ('${type}') failed - got JSON::PP::Boolean`;
  const text = scalarText(value);
  if (text === undefined) return `type check ('${type}') failed - got ${Array.isArray(value) ? 'ARRAY' : 'HASH'}`;
  const scalar = SCALARS[type];
  return scalar === undefined || scalar.test(text) ? undefined : `type check ('${type}') failed - got '${text}'`;
}

/** The first rule for scalars that a value breaks: format, pattern, length, bounds, enumeration. */
function scalarProblem(schema: ValueSchema, text: string): string | undefined {
  if (typeof schema.format === 'object') {
    try {
      parsePropertyString(schema.format, text);
    } catch (error) {
      if (!(error instanceof PropertyStringError)) throw error;
      return `invalid format - ${error.message}\n`;
    }
  } else if (schema.format !== undefined) {
    const problem = verifyFormat(schema.format, text);
    if (problem !== undefined) return `invalid format - ${problem}\n`;
  }
  if (schema.pattern !== undefined && !patternOf(schema.pattern).test(text))
    return 'value does not match the regex pattern';
  if (schema.maxLength !== undefined && Array.from(text).length > schema.maxLength)
    return `value may only be ${schema.maxLength} characters long`;
  if (schema.minLength !== undefined && Array.from(text).length < schema.minLength)
    return `value must be at least ${schema.minLength} characters long`;
  if (SCALARS['number']?.test(text)) {
    if (schema.maximum !== undefined && Number(text) > Number(schema.maximum))
      return `value must have a maximum value of ${schema.maximum}`;
    if (schema.minimum !== undefined && Number(text) < Number(schema.minimum))
      return `value must have a minimum value of ${schema.minimum}`;
  }
  if (schema.enum !== undefined && !schema.enum.some((entry) => String(entry) === text))
    return `value '${text}' does not have a value in the enumeration '${schema.enum.join(', ')}'`;
  return undefined;
}

/** Checks one value that may be absent; problems are added under `place`. */
export function checkValue(
  schema: ValueSchema,
  value: unknown,
  place: string,
  problems: Problems,
  options: CheckOptions = {},
): void {
  if (schema.alias !== undefined) return;
  if (value === undefined || value === null) {
    if (schema.type !== 'null' && !schema.optional) addProblem(problems, place, MISSING);
    return;
  }
  const wrong = typeProblem(schema.type, value);
  if (wrong !== undefined) {
    addProblem(problems, place, wrong);
  } else if (Array.isArray(value)) {
    const { items } = schema;
    if (items !== undefined)
      value.forEach((entry, index) => checkValue(items, entry, `${place}[${index}]`, problems, options));
  } else if (isObject(value)) {
    checkObject(schema, value, place, problems, options);
  } else if (options.answer !== true) {
    const problem = scalarProblem(schema, scalarText(value) ?? '');
    if (problem !== undefined) addProblem(problems, place, problem);
  }
}

/** Checks the members of an object: each that the schema names, then those it does not name. */
export function checkObject(
  schema: ValueSchema,
  value: Record<string, unknown>,
  place: string,
  problems: Problems,
  options: CheckOptions = {},
): void {
  const named = schema.properties ?? {};
  const below = (key: string): string => (place ? `${place}.${key}` : key);
  for (const [key, member] of Object.entries(named)) checkMember(member, value, key, below(key), problems, options);
  const open = schema.properties === undefined && schema.additionalProperties === undefined;
  for (const key of Object.keys(value)) {
    const member = named[key] ?? indexed(named, key);
    if (member !== undefined) {
      if (named[key] === undefined) checkValue(member, value[key], below(key), problems, options);
      if (typeof member.requires === 'string' && value[member.requires] === undefined)
        addProblem(problems, below(member.requires), `missing property required by '${below(key)}'`);
    } else if (typeof schema.additionalProperties === 'object') {
      checkValue(schema.additionalProperties, value[key], below(key), problems, options);
    } else if (
      schema.additionalProperties === 0 ||
      (options.answer === true && !open && !schema.additionalProperties)
    ) {
      addProblem(problems, below(key), UNKNOWN);
    }
  }
}

/** `net3` is described as `net[n]` in the published schema. */
function indexed(named: Record<string, ValueSchema>, key: string): ValueSchema | undefined {
  const [, stem] = /^(.*?)\d+$/.exec(key) ?? [];
  return stem === undefined ? undefined : named[`${stem}[n]`];
}

/** A member whose description depends on a sibling's value is checked by the alternative for that value. */
function checkMember(
  member: ValueSchema,
  of: Record<string, unknown>,
  key: string,
  place: string,
  problems: Problems,
  options: CheckOptions,
): void {
  if (key.endsWith('[n]')) return;
  const selector = member['type-property'];
  const value = of[key];
  if (selector === undefined) return checkValue(member, value, place, problems, options);
  const instance = scalarText(of[selector]);
  const served = (one: ValueSchema): boolean =>
    instance !== undefined && one['instance-types']?.includes(instance) === true;
  const alternatives = member.oneOf ?? [member];
  const chosen = alternatives.find(served);
  if (chosen !== undefined) return checkValue(chosen, value, place, problems, options);
  if (value !== undefined && instance !== undefined) addProblem(problems, place, UNKNOWN);
}

/**
 * The values of a property string by key, each checked against its description; booleans are `1` and `0`.
 * @throws {PropertyStringError} what does not split into keys and values, and what the keys' descriptions refuse
 */
export function parsePropertyString(format: PropertyFormat, text: string): Record<string, string> {
  const values = splitPropertyString(format, text);
  const problems: Problems = new Map();
  checkObject({ properties: format, additionalProperties: 0 }, values, '', problems);
  if (problems.size === 0) return values;
  const lines = [...problems].sort(([a], [b]) => (a < b ? -1 : 1)).map(([place, problem]) => `${place}: ${problem}`);
  throw new PropertyStringError(`format error\n${lines.join('\n')}`);
}
