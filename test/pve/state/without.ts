/** A copy of `object` without `keys`. */
export function without<T extends object, K extends string>(object: T, ...keys: K[]): Omit<T, K> {
  return Object.fromEntries(Object.entries(object).filter(([key]) => !(keys as string[]).includes(key))) as Omit<T, K>;
}
