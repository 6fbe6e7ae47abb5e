import { readFile, stat } from 'node:fs/promises';
import { cgroupProcesses } from '../../host/cgroup/processes.ts';
import { isErrno } from '../../utils/errors.ts';

/** A line of /proc/PID/maps (proc_pid_maps(5)) of a mapping that is shared and writable: its device and path. */
const SHARED = /^\S+ .w.s \S+ ([0-9a-f]+):([0-9a-f]+) \d+ +(.*)$/;

/**
 * Paths of the files on the filesystem of `directory` that processes in the cgroups at `cgroups` have mapped for shared
 * writing, as the processes see them, each once.
 */
export async function mappedFiles(directory: string, cgroups: readonly string[]): Promise<string[]> {
  const { dev } = await stat(directory);
  const files = new Set<string>();
  for (const pid of cgroupProcesses(cgroups)) {
    for (const { device, path } of parseSharedMappings(await mapsOf(pid))) {
      if (device === dev) files.add(path);
    }
  }
  return [...files];
}

/** The shared writable mappings in the text of /proc/PID/maps; `device` is as stat(2) has it. */
export function parseSharedMappings(maps: string): { device: number; path: string }[] {
  return maps.split('\n').flatMap((line) => {
    const [, major, minor, path] = SHARED.exec(line) ?? [];
    if (major === undefined || minor === undefined || path === undefined) return [];
    return [{ device: deviceNumber(Number.parseInt(major, 16), Number.parseInt(minor, 16)), path }];
  });
}

/** glibc's makedev(3), for numbers that fit in 32 bits. */
function deviceNumber(major: number, minor: number): number {
  return (minor & 0xff) + (major & 0xfff) * 2 ** 8 + (minor >>> 8) * 2 ** 20;
}

async function mapsOf(pid: number): Promise<string> {
  try {
    return await readFile(`/proc/${String(pid)}/maps`, 'utf8');
  } catch (error) {
    // It has ended.
    if (isErrno(error, 'ENOENT', 'ESRCH')) return '';
    throw error;
  }
}
