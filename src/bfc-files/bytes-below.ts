import { lstat, opendir } from 'node:fs/promises';
import { join } from 'node:path';

/** Bytes of the files below a directory, to show how much is left; undefined when they cannot be counted. Never fails. */
export async function bytesBelow(directory: string, signal: AbortSignal): Promise<number | undefined> {
  let bytes = 0;
  const add = async (path: string): Promise<void> => {
    for await (const entry of await opendir(path)) {
      signal.throwIfAborted();
      if (entry.isDirectory()) await add(join(path, entry.name));
      else if (entry.isFile()) bytes += (await lstat(join(path, entry.name))).size;
    }
  };
  try {
    await add(directory);
    return bytes;
  } catch {
    return undefined;
  }
}
