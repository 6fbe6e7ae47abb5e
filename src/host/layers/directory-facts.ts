import { chmod, chown, lstat, utimes } from 'node:fs/promises';
import { run } from '../processes/run.ts';
import type { DirectoryFacts } from './layer-filter.ts';

/** Sets the owner, mode and modification time of a directory. */
export async function setFacts(path: string, { mode, uid, gid, mtime }: DirectoryFacts): Promise<void> {
  await chown(path, uid, gid);
  await chmod(path, mode);
  // A double has too few digits for nanoseconds of current times; touch(1) accepts them as strings.
  if (mtime.includes('.')) await run('touch', [`--date=@${mtime}`, '--', path]);
  else await utimes(path, Number(mtime), Number(mtime));
}

/**
 * The facts of the directory `path` in the uppermost of these layers' directories (top one first) that has it; undefined when
 * none has, or when the uppermost has another file type there. Names are Latin-1 strings, "" is the root.
 */
export async function describeDirectory(
  directories: readonly string[],
  path: string,
): Promise<DirectoryFacts | undefined> {
  for (const directory of directories) {
    const facts = await lookUp(directory, path);
    if (facts !== 'absent') return facts;
  }
  return undefined;
}

/** Looks at each component by itself, so that no symlink inside the layer is followed. */
async function lookUp(directory: string, path: string): Promise<DirectoryFacts | undefined | 'absent'> {
  let current = Buffer.from(directory);
  let stat = await lstat(current, { bigint: true });
  for (const component of path === '' ? [] : path.split('/')) {
    current = Buffer.concat([current, Buffer.from('/'), Buffer.from(component, 'latin1')]);
    try {
      stat = await lstat(current, { bigint: true });
    } catch {
      return 'absent';
    }
    if (!stat.isDirectory()) return undefined;
  }
  return {
    mode: Number(stat.mode) & 0o7777,
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtime: formatTime(stat.mtimeNs),
  };
}

/** Nanoseconds as seconds, the way pax writes them. */
function formatTime(ns: bigint): string {
  const seconds = ns / 1_000_000_000n;
  const rest = ns % 1_000_000_000n;
  // Before 1970 whole seconds are enough.
  return rest <= 0n ? String(seconds) : `${seconds}.${String(rest).padStart(9, '0')}`;
}
