import { run } from '../processes/run.ts';

/**
 * Removes these trees of any depth and with any names (a path may exceed PATH_MAX), without following links and without
 * leaving their filesystem; no error for missing ones. Uses rm(1), which works on
 * open directories: Node.js builds whole paths, and fails where one is too long.
 * @throws CommandError with rm's message when something stays.
 */
export async function removeTree(...paths: readonly string[]): Promise<void> {
  if (paths.length === 0) return;
  await run('rm', ['-rf', '--one-file-system', '--', ...paths], { env: { PATH: process.env['PATH'], LC_ALL: 'C' } });
}
