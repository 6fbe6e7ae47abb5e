import { lstat } from 'node:fs/promises';
import { CommandError, run } from '../processes/run.ts';

/** Trees that one command counts: their paths fit its arguments and the output kept of it. */
const BATCH = 1000;

/** Bytes on disk (st_blocks) and inodes, a file with several names once. */
interface TreeUsage {
  bytes: bigint;
  inodes: bigint;
}

/**
 * What lies below each of these directories, by path, without the directory itself, without what is mounted there and
 * without following a link. One that does not exist, or cannot be counted, is missing in the result; what vanishes meanwhile
 * is not counted. Done by du(1), which works on open directories: names and depth may be anything, nobody can lead it
 * outside by exchanging a directory for a link, and this process neither waits for the disk nor holds the names.
 */
export async function diskUsage(directories: readonly string[]): Promise<Map<string, TreeUsage>> {
  const usages = new Map<string, TreeUsage>();
  for (let from = 0; from < directories.length; from += BATCH) {
    const batch = directories.slice(from, from + BATCH);
    const [blocks, inodes] = await Promise.all([du('--block-size=512', batch), du('--inodes', batch)]);
    for (const path of batch) {
      const own = await blocksOf(path);
      const [allBlocks, allInodes] = [blocks.get(path), inodes.get(path)];
      if (own === undefined || allBlocks === undefined || allInodes === undefined) continue;
      const below = allBlocks > own ? allBlocks - own : 0n;
      usages.set(path, { bytes: below * 512n, inodes: allInodes > 0n ? allInodes - 1n : 0n });
    }
  }
  return usages;
}

/** The sum of each tree that du can reach, itself included. */
async function du(unit: string, paths: readonly string[]): Promise<Map<string, bigint>> {
  const args = ['--summarize', '--one-file-system', '--null', unit, '--', ...paths];
  const output = await run('du', args, { env: { PATH: process.env['PATH'], LC_ALL: 'C' } }).catch((error: unknown) => {
    // It ends so when something is missing, after it has counted everything else.
    if (error instanceof CommandError && error.exitCode === 1) return error;
    throw error;
  });
  const lines = output.stdout.split('\0').map((line) => /^(\d+)\t(.*)$/s.exec(line));
  return new Map(lines.flatMap((line) => (line?.[1] && line[2] ? [[line[2], BigInt(line[1])] as const] : [])));
}

async function blocksOf(path: string): Promise<bigint | undefined> {
  try {
    const { blocks } = await lstat(path, { bigint: true });
    return blocks;
  } catch {
    return undefined;
  }
}
