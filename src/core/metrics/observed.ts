/** Runs an operation of a part, with what is to happen around it. */
export type Around = <T>(operation: string, work: () => Promise<T>) => Promise<T>;

/** The methods of `T` that return promises. */
export type Asynchronous<T> = {
  [K in keyof T & string]: T[K] extends (...args: never[]) => Promise<unknown> ? K : never;
}[keyof T & string];

/**
 * `part` with `around` run around the named methods; a method that the part has not stays absent. So a port is measured without its
 * implementations and its users knowing.
 */
export function observed<T extends object>(part: T, methods: readonly Asynchronous<T>[], around: Around): T {
  const replaced = new Map<string | symbol, unknown>();
  for (const name of methods) {
    const method = part[name] as ((...args: unknown[]) => Promise<unknown>) | undefined;
    if (method === undefined) continue;
    replaced.set(name, (...args: unknown[]) => around(name, () => method.apply(part, args)));
  }
  return new Proxy(part, {
    get: (target, key) => {
      const known = replaced.get(key);
      if (known !== undefined) return known;
      // With the part as `this`: a proxy has no private fields.
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== 'function') return value;
      const bound: unknown = value.bind(target);
      replaced.set(key, bound);
      return bound;
    },
  });
}
