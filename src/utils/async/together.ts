/** Waits until all tasks have settled. @throws the error of the first one in the list that failed. */
export async function together(tasks: Iterable<Promise<unknown>>): Promise<void> {
  for (const result of await Promise.allSettled(tasks)) if (result.status === 'rejected') throw result.reason;
}
