/** Where a value comes from (zfs-get(8)). */
export type Source = 'none' | 'default' | 'local' | 'inherited' | 'received' | 'temporary';

export interface Property {
  /** As `-p` prints it: bytes, seconds since 1970, `on`. */
  value: string;
  source: Source;
}

/** A dataset, snapshot or pool with the properties that were asked for and that it has. */
export interface Entry {
  name: string;
  /** By name; one that is not set is not in it. */
  properties: ReadonlyMap<string, Property>;
}

/** The value of a property; undefined when the object has none. */
export function valueOf({ properties }: Entry, name: string): string | undefined {
  return properties.get(name)?.value;
}

/** A property that is a number of bytes, objects or seconds; undefined when the object has none. */
export function numberOf(entry: Entry, name: string): bigint | undefined {
  const value = valueOf(entry, name);
  return value !== undefined && /^\d{1,20}$/.test(value) ? BigInt(value) : undefined;
}

/** A user property that is set on the object itself: those of datasets above it are inherited. */
export function ownValueOf({ properties }: Entry, name: string): string | undefined {
  const property = properties.get(name);
  return property?.source === 'local' || property?.source === 'received' ? property.value : undefined;
}

/** Collects rows in the order of their objects. */
export class Entries {
  readonly #entries = new Map<string, Map<string, Property>>();

  /** Adds a row. @returns false when the object has the property already. */
  add(name: string, property: string, value: string, source: Source): boolean {
    let properties = this.#entries.get(name);
    if (properties === undefined) this.#entries.set(name, (properties = new Map<string, Property>()));
    if (properties.has(property)) return false;
    properties.set(property, { value, source });
    return true;
  }

  /** The objects; a property without a value is printed as `-` from no source. */
  list(): Entry[] {
    return [...this.#entries].map(([name, properties]) => ({
      name,
      properties: new Map([...properties].filter(([, { value, source }]) => value !== '-' || source !== 'none')),
    }));
  }
}
