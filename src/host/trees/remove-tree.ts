import { run } from '../processes/run.ts';

/**
 * Removes these trees, however deep they are and whatever their names (a path below may be longer than PATH_MAX), without
 * following a link and without leaving their filesystem; no error for what does not exist. Done by rm(1), which works on
 * open directories: Node.js builds whole paths, and fails where one is too long.
 * @throws CommandError with rm's own words when something stays.
 */
export async function removeTree(...paths: readonly string[]): Promise<void> {
  if (paths.length === 0) return;
  await run('rm', ['-rf', '--one-file-system', '--', ...paths], { env: { PATH: process.env['PATH'], LC_ALL: 'C' } });
}
