import { run } from '../processes/run.ts';

/**
 * Copies a directory onto an empty one with cp(1): content, owners, modes, times and extended attributes, its own among them.
 * @param source may be a path through an open directory, so that no link can lead outside.
 * @throws CommandError with its message; the signal's reason.
 */
export async function copyDirectory(source: string, target: string, signal?: AbortSignal): Promise<void> {
  try {
    await run('cp', ['--archive', '--no-target-directory', '--', `${source}/.`, target], { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
