/** Releases the simulated node can be. */
export type Release = '8.4' | '9.2';

/** Says what is wrong with a value, as the node's `die` does after "invalid format - "; undefined when nothing is. */
export type Format = (value: string, name: string, release: Release) => string | undefined;

/** One parameter as the API schema describes it. Values arrive as text and leave as number or text. */
export interface Property {
  readonly type: 'string' | 'integer' | 'number' | 'boolean';
  readonly required?: true;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  /** Matches the whole value. */
  readonly pattern?: RegExp;
  readonly enum?: readonly string[];
  readonly format?: Format;
  /** Only this major release knows it. */
  readonly only?: '8' | '9';
}

/** Parameters by name. */
export type Schema = Readonly<Record<string, Property>>;

/** Checked values: booleans are 0 or 1. */
export type Values = Record<string, string | number>;

/** Makes `property` a required one. */
export function required(property: Property): Property {
  return { ...property, required: true };
}

/** Text. */
export function text(more: Omit<Property, 'type'> = {}): Property {
  return { type: 'string', ...more };
}

/** An integer. */
export function integer(minimum?: number, maximum?: number, more: Omit<Property, 'type'> = {}): Property {
  return {
    type: 'integer',
    ...(minimum === undefined ? {} : { minimum }),
    ...(maximum === undefined ? {} : { maximum }),
    ...more,
  };
}

/** A boolean, 0 or 1 on the wire. */
export const flag: Property = { type: 'boolean' };

/** One of `values`. */
export function oneOf(...values: string[]): Property {
  return { type: 'string', enum: values };
}

/** The same property under `name0` to `name<count - 1>`. */
export function family(name: string, count: number, property: Property): Record<string, Property> {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [`${name}${index}`, property]));
}

/** Whether `release` knows `property`. */
export function knownTo(property: Property, release: Release): boolean {
  return property.only === undefined || release.startsWith(property.only);
}
