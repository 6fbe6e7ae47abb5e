import { readFile } from 'node:fs/promises';
import { CommandError, run } from '../process/run.ts';

/** Mount points of this process's mount namespace (proc(5), mountinfo), unescaped. */
export async function mountPoints(): Promise<Set<string>> {
  const text = await readFile('/proc/self/mountinfo', 'utf8');
  const points = new Set<string>();
  for (const line of text.split('\n')) {
    const path = line.split(' ')[4];
    if (path !== undefined)
      points.add(path.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8))));
  }
  return points;
}

export async function isMountPoint(path: string): Promise<boolean> {
  return (await mountPoints()).has(path);
}

/** Mounts a tmpfs of `bytes` bytes with mode 1777, which belongs to `owner`; does nothing where something is mounted already. */
export async function mountTmpfs(path: string, bytes: number, owner: number): Promise<void> {
  if (await isMountPoint(path)) return;
  const options = `nosuid,nodev,noexec,mode=1777,size=${String(bytes)},uid=${String(owner)},gid=${String(owner)}`;
  await run('mount', ['-t', 'tmpfs', '-o', options, 'shm', path]);
}

/** Unmounts `path` lazily, so that a process which still looks at it cannot hold it; no error when nothing is mounted. */
export async function unmount(path: string): Promise<void> {
  if (!(await isMountPoint(path))) return;
  try {
    await run('umount', ['-l', '--', path]);
  } catch (error) {
    // Somebody else was faster.
    if (error instanceof CommandError && !(await isMountPoint(path))) return;
    throw error;
  }
}
