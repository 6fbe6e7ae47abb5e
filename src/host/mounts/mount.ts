import { readFile, realpath } from 'node:fs/promises';
import { unavailable } from '../../core/model/errors.ts';
import { withinLimit } from '../../utils/async/abortable.ts';
import { isErrno } from '../../utils/errors.ts';
import { call } from '../native/call.ts';
import { MountFlag } from '../native/steps.ts';
import { unescapeMountinfo } from './mountinfo.ts';

/** Milliseconds to write what a filesystem has in memory, and for a killed process to end. */
const UNMOUNT_MS = 30_000;
const KILLED_MS = 1000;

/** Mount points of this process's mount namespace (proc(5), mountinfo), unescaped. */
export async function mountPoints(): Promise<Set<string>> {
  const text = await readFile('/proc/self/mountinfo', 'utf8');
  const points = new Set<string>();
  for (const line of text.split('\n')) {
    const path = line.split(' ')[4];
    if (path !== undefined) points.add(unescapeMountinfo(path));
  }
  return points;
}

/** One mount point of each source of that filesystem type in this process's mount namespace, by source. */
export async function mountPointsBySource(type: string): Promise<Map<string, string>> {
  const text = await readFile('/proc/self/mountinfo', 'utf8');
  const points = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [mount = '', fileSystem = ''] = line.split(' - ');
    const [ofType, source] = fileSystem.split(' ');
    const path = mount.split(' ')[4];
    if (ofType === type && source !== undefined && path !== undefined) {
      points.set(unescapeMountinfo(source), unescapeMountinfo(path));
    }
  }
  return points;
}

/** Whether something is mounted at `path`, which may contain links. */
export async function isMountPoint(path: string): Promise<boolean> {
  return (await mountPoints()).has(await resolved(path));
}

/** Unmounts everything below `directory`, lazily, the innermost first. */
export async function unmountBelow(directory: string): Promise<void> {
  const inside = `${await resolved(directory)}/`;
  const below = [...(await mountPoints())].filter((path) => path.startsWith(inside));
  for (const path of below.sort().reverse()) await detach([path]);
}

/** The kernel lists mount points without links. */
async function resolved(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return path;
    throw error;
  }
}

/** The options of a tmpfs (tmpfs(5)). */
export interface TmpfsOptions {
  bytes: number;
  /** undefined: the kernel's default. */
  inodes?: number;
  mode: number;
  /** User and group id of its root. */
  owner: number;
}

/** Mounts a tmpfs; no effect where something is mounted already. @throws StepError with the kernel's reason. */
export async function mountTmpfs(target: string, { bytes, inodes, mode, owner }: TmpfsOptions): Promise<void> {
  const options = [`mode=${mode.toString(8)}`, `size=${String(bytes)}`, `uid=${String(owner)}`, `gid=${String(owner)}`];
  if (inodes !== undefined) options.push(`nr_inodes=${String(inodes)}`);
  const flags = MountFlag.nosuid | MountFlag.nodev | MountFlag.noexec;
  const what = { source: 'shm', target, type: 'tmpfs', flags, options: options.join(',') };
  await call([{ do: 'mount', ...what, unlessMounted: true }]);
}

/**
 * Unmounts `path` lazily, so that a process with open files cannot block it; no error when nothing is mounted.
 * @throws StepError with the kernel's reason; CriError UNAVAILABLE after 30 seconds.
 */
export async function unmount(path: string): Promise<void> {
  await detach([await resolved(path)]);
}

/** As {@link unmount}, everything that is mounted at each of the paths, which contain no links. */
export async function unmountAll(paths: readonly string[]): Promise<void> {
  if (paths.length > 0) await detach(paths, true);
}

/**
 * The kernel detaches a mount at once, and then waits for the filesystem to write what it has, for ever where its device is gone.
 * A repetition finds nothing mounted.
 */
async function detach(targets: readonly string[], all = false): Promise<void> {
  const problem = `not unmounted after ${String(UNMOUNT_MS)} ms; its device may not respond`;
  await withinLimit(
    { limitMs: UNMOUNT_MS, graceMs: KILLED_MS, over: () => unavailable(`${targets.join(' and ')}: ${problem}`) },
    (signal) =>
      call(
        targets.map((target) => ({ do: 'unmount', target, all })),
        signal,
      ),
  );
}
