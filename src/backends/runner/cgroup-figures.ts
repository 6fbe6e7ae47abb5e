import { join } from 'node:path';
import type { ContainerUsage } from '../../core/model/container-runner.ts';
import { findCgroup, readCgroupFile } from './hierarchies.ts';
import type { Hierarchy } from './hierarchies.ts';

/** Reads files of one cgroup, whichever hierarchy has them. */
type Reader = (file: string) => Promise<string | undefined>;

/** Usage of `cgroup` and everything below it, or undefined when it is not there. `timestamp` is passed through. */
export async function readUsage(
  hierarchies: readonly Hierarchy[],
  cgroup: string,
  timestamp: bigint,
): Promise<ContainerUsage | undefined> {
  const folders = await findCgroup(hierarchies, cgroup);
  if (folders.length === 0) return undefined;
  const read = readerOf(folders);
  const memory = parseFlatKeyed(await read('memory.stat'));
  const [cpuV1, cpuV2, memoryV1, memoryV2, processes] = await Promise.all([
    read('cpuacct.usage'),
    read('cpu.stat'),
    read('memory.usage_in_bytes'),
    read('memory.current'),
    read('pids.current'),
  ]);
  const microseconds = parseFlatKeyed(cpuV2).get('usage_usec');
  const used = parseCount(memoryV1 ?? memoryV2);
  // v1 counts a cgroup's own pages under the plain names and those of its whole tree under total_.
  const inactive = memory.get('total_inactive_file') ?? memory.get('inactive_file');
  return {
    timestamp,
    cpuNanoseconds: parseCount(cpuV1) ?? (microseconds === undefined ? undefined : microseconds * 1000n),
    memoryUsageBytes: used,
    memoryWorkingSetBytes: workingSet(used, inactive),
    memoryRssBytes: memory.get('total_rss') ?? memory.get('anon'),
    pageFaults: memory.get('total_pgfault') ?? memory.get('pgfault'),
    majorPageFaults: memory.get('total_pgmajfault') ?? memory.get('pgmajfault'),
    processes: parseCount(processes),
  };
}

/** True when the kernel has killed a process of `cgroup` for want of memory; false also when the cgroup is gone. */
export async function wasOomKilled(hierarchies: readonly Hierarchy[], cgroup: string): Promise<boolean> {
  const read = readerOf(await findCgroup(hierarchies, cgroup));
  const counters = await Promise.all([read('memory.oom_control'), read('memory.events')]);
  return counters.some((text) => (parseFlatKeyed(text).get('oom_kill') ?? 0n) > 0n);
}

/** Lines of `key number`, as in memory.stat and cpu.stat (cgroups(7)); other lines are passed over. */
export function parseFlatKeyed(text: string | undefined): Map<string, bigint> {
  const values = new Map<string, bigint>();
  for (const line of (text ?? '').split('\n')) {
    const match = /^(\S+) (\d+)$/.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined) values.set(match[1], BigInt(match[2]));
  }
  return values;
}

function parseCount(text: string | undefined): bigint | undefined {
  const digits = text?.trim() ?? '';
  return /^\d+$/.test(digits) ? BigInt(digits) : undefined;
}

/** What the kernel could not take back without hurting: the kubelet evicts by it. */
function workingSet(used: bigint | undefined, inactive: bigint | undefined): bigint | undefined {
  if (used === undefined || inactive === undefined) return used;
  return used > inactive ? used - inactive : 0n;
}

function readerOf(folders: readonly { path: string }[]): Reader {
  return async (file) => {
    for (const { path } of folders) {
      const text = await readCgroupFile(join(path, file));
      if (text !== undefined) return text;
    }
    return undefined;
  };
}
