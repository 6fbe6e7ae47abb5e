import { constants } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isErrno } from '../../../utils/errors.ts';

/** Bytes at the end of a log that are read: some records of the largest size (conmon's have 8 KiB) of each stream. */
const TAIL_BYTES = 65_536;

const streams = ['stdout', 'stderr'] as const;
type Tags = Partial<Record<(typeof streams)[number], string>>;

/**
 * Closes the last line of each stream in the CRI log at `path` by an empty record with tag F, where its writer, which has
 * ended, left it partial (P): a reader joins partial records until an F comes. Where the log was rotated before, the partial
 * record may be the last of the file before. Done already, or no log there: nothing happens. `time` is in ns since 1970.
 */
export async function closeLog(path: string, time: bigint): Promise<void> {
  try {
    const file = await open(path, constants.O_RDWR | constants.O_APPEND | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const { size } = await file.stat();
      let tags = lastTags(await readTail(file, size));
      if (size <= TAIL_BYTES && streams.some((stream) => tags[stream] === undefined)) {
        tags = { ...(await tagsBefore(path)), ...tags };
      }
      const open = streams.filter((stream) => tags[stream] === 'P');
      if (open.length > 0) await file.appendFile(open.map((stream) => `${timestamp(time)} ${stream} F \n`).join(''));
    } finally {
      await file.close();
    }
  } catch (error) {
    // A missing log or a full disk is for the kubelet to handle; the container has ended nevertheless.
    if (!isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'EISDIR', 'ENXIO', 'ENOSPC', 'EROFS', 'EDQUOT', 'EIO'))
      throw error;
  }
}

/** The tag of each stream's last record in a part of a log, whose first line may be cut. */
export function lastTags(text: string): Tags {
  const tags: Tags = {};
  for (const line of text.split('\n')) {
    const match = /^\d{4}-\S+ (stdout|stderr) ([PF]) /.exec(line);
    if (match !== null) tags[match[1] as (typeof streams)[number]] = match[2] ?? '';
  }
  return tags;
}

async function readTail(file: Awaited<ReturnType<typeof open>>, size: number): Promise<string> {
  const tail = Buffer.alloc(Math.min(size, TAIL_BYTES));
  const { bytesRead } = await file.read(tail, 0, tail.length, size - tail.length);
  return tail.toString('latin1', 0, bytesRead);
}

/** The same for the file that was renamed last, as the kubelet names it: the log's name, a dot and the time. */
async function tagsBefore(path: string): Promise<Tags> {
  const directory = dirname(path);
  const prefix = `${basename(path)}.`;
  const names = (await readdir(directory)).filter((name) => name.startsWith(prefix) && !/\.(gz|tmp)$/.test(name));
  const files = await Promise.all(names.map(async (name) => ({ name, stats: await stat(join(directory, name)) })));
  const newest = files.sort((a, b) => b.stats.mtimeMs - a.stats.mtimeMs)[0];
  if (newest === undefined) return {};
  const file = await open(
    join(directory, newest.name),
    constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
  );
  try {
    return lastTags(await readTail(file, newest.stats.size));
  } finally {
    await file.close();
  }
}

/** RFC 3339 with nanoseconds, as conmon writes it. */
function timestamp(time: bigint): string {
  const seconds = new Date(Number(time / 1_000_000n)).toISOString().slice(0, 19);
  return `${seconds}.${String(time % 1_000_000_000n).padStart(9, '0')}+00:00`;
}
