import { join } from 'node:path';
import type { ResourceUsage } from '../../core/model/resource-usage.ts';
import { readCgroupFile } from './files.ts';
import type { CgroupHierarchy } from './hierarchies.ts';

/** Usage of `cgroup` and everything below it, or undefined when it is not there. `timestamp` is passed through. */
export function readUsage(
  hierarchies: readonly CgroupHierarchy[],
  cgroup: string,
  timestamp: bigint,
): ResourceUsage | undefined {
  const read = (controller: string, v1File: string, v2File: string) =>
    readFigure(hierarchies, cgroup, controller, v1File, v2File);
  const cpu = read('cpuacct', 'cpuacct.usage', 'cpu.stat');
  const memory = parseFlatKeyed(read('memory', 'memory.stat', 'memory.stat'));
  const used = parseCount(read('memory', 'memory.usage_in_bytes', 'memory.current'));
  const processes = parseCount(read('pids', 'pids.current', 'pids.current'));
  if (cpu === undefined && memory.size === 0 && processes === undefined) return undefined;
  const microseconds = parseFlatKeyed(cpu).get('usage_usec');
  // v1 counts a cgroup's own pages under the plain names and those of its whole tree under total_.
  const inactive = memory.get('total_inactive_file') ?? memory.get('inactive_file');
  return {
    timestamp,
    cpuNanoseconds: microseconds === undefined ? parseCount(cpu) : microseconds * 1000n,
    memoryUsageBytes: used,
    memoryWorkingSetBytes: workingSet(used, inactive),
    memoryRssBytes: memory.get('total_rss') ?? memory.get('anon'),
    pageFaults: memory.get('total_pgfault') ?? memory.get('pgfault'),
    majorPageFaults: memory.get('total_pgmajfault') ?? memory.get('pgmajfault'),
    processes,
  };
}

/** True when a process of `cgroup` was killed because memory ran out; false also when the cgroup is gone. */
export function wasOomKilled(hierarchies: readonly CgroupHierarchy[], cgroup: string): boolean {
  const text = readFigure(hierarchies, cgroup, 'memory', 'memory.oom_control', 'memory.events');
  return (parseFlatKeyed(text).get('oom_kill') ?? 0n) > 0n;
}

/** Lines of `key number`, as in memory.stat and cpu.stat (cgroups(7)); other lines are skipped. */
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

/** What the kernel cannot reclaim easily: the kubelet evicts by it. */
function workingSet(used: bigint | undefined, inactive: bigint | undefined): bigint | undefined {
  if (used === undefined || inactive === undefined) return used;
  return used > inactive ? used - inactive : 0n;
}

/** A file of a controller: in its own hierarchy (v1), else in the one of v2. */
function readFigure(
  hierarchies: readonly CgroupHierarchy[],
  cgroup: string,
  controller: string,
  v1File: string,
  v2File: string,
): string | undefined {
  const v1 = hierarchies.find(({ controllers }) => controllers.includes(controller));
  if (v1 !== undefined) return readCgroupFile(join(v1.mountPoint, cgroup, v1File));
  const v2 = hierarchies.find(({ version }) => version === 2);
  return v2 && readCgroupFile(join(v2.mountPoint, cgroup, v2File));
}
