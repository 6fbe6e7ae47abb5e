import { together } from './together.ts';

/**
 * Runs `task` for each item, at most `limit` at a time, started in order.
 * @throws the first error, once the started tasks have settled; no other is started then.
 */
export async function forEach<T>(items: Iterable<T>, limit: number, task: (item: T) => Promise<void>): Promise<void> {
  const iterator = items[Symbol.iterator]();
  let failed = false;
  const worker = async () => {
    for (let next = iterator.next(); !next.done && !failed; next = iterator.next()) {
      try {
        await task(next.value);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await together(Array.from({ length: limit }, worker));
}
