import { lstat } from 'node:fs/promises';
import { gatheredRead } from '../../utils/async/gathered-read.ts';
import { CommandError, run } from '../processes/run.ts';

/** Trees per command: their paths fit its arguments and the captured output. */
const BATCH = 1000;

/** Bytes on disk (st_blocks) and inodes, a file with several names once. */
interface TreeUsage {
  bytes: bigint;
  inodes: bigint;
}

const counted = gatheredRead(count, BATCH);

/**
 * The usage below a directory, without the directory itself, mounts in it, and link targets; undefined when it does not
 * exist. Files that are removed meanwhile are not counted. Done by du(1), which uses open directories: any names and
 * depth work, a directory replaced by a link cannot lead it outside, and this process neither waits for the disk nor
 * keeps the names in memory. Concurrent calls share a command.
 * @throws Error when it exists and cannot be measured.
 */
export async function diskUsage(directory: string): Promise<TreeUsage | undefined> {
  if ((await blocksOf(directory)) === undefined) return undefined;
  const usage = await counted(directory);
  if (usage !== undefined || (await blocksOf(directory)) === undefined) return usage;
  throw new Error(`${directory}: cannot be measured`);
}

async function count(paths: readonly string[]): Promise<Map<string, TreeUsage>> {
  const [blocks, inodes] = await Promise.all([du('--block-size=512', paths), du('--inodes', paths)]);
  const usages = new Map<string, TreeUsage>();
  for (const path of paths) {
    const own = await blocksOf(path);
    const [allBlocks, allInodes] = [blocks.get(path), inodes.get(path)];
    if (own === undefined || allBlocks === undefined || allInodes === undefined) continue;
    const below = allBlocks > own ? allBlocks - own : 0n;
    usages.set(path, { bytes: below * 512n, inodes: allInodes > 0n ? allInodes - 1n : 0n });
  }
  return usages;
}

/** The sum of each tree that du can read, including its root. */
async function du(unit: string, paths: readonly string[]): Promise<Map<string, bigint>> {
  const args = ['--summarize', '--one-file-system', '--null', unit, '--', ...paths];
  const output = await run('du', args, { holds: 'nothing', env: { PATH: process.env['PATH'], LC_ALL: 'C' } }).catch(
    (error: unknown) => {
      // It exits so when something is missing, after it has counted everything else.
      if (error instanceof CommandError && error.exitCode === 1) return error;
      throw error;
    },
  );
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
