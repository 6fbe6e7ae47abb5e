import { access, readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { cgroupHierarchies, layoutOf } from './cgroup/hierarchies.ts';
import type { HostFacts } from '../core/model/host-facts.ts';
import { RLIMIT_HEADINGS } from '../core/model/rlimits.ts';
import { capabilitiesOfMask } from '../core/model/capabilities.ts';

/** Reads the features of this machine and the privileges of this process; see proc(5). */
export async function readHostFacts(): Promise<HostFacts> {
  const status = await readFile('/proc/self/status', 'utf8');
  const mask = BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  const capabilities = capabilitiesOfMask(mask);
  const ownScore = Number(await readFile('/proc/self/oom_score_adj', 'utf8'));
  return {
    capabilities,
    minOomScoreAdj: capabilities.has('SYS_RESOURCE') ? -1000 : ownScore,
    hardLimits: hardLimits(await readFile('/proc/self/limits', 'utf8')),
    swapAccounting: await hasSwapAccounting(),
    hugetlbController: await hasController('hugetlb'),
    unifiedCgroups: layoutOf(await cgroupHierarchies()) === 'unified',
    selinux: await access('/sys/fs/selinux/enforce').then(
      () => true,
      () => false,
    ),
    hostname: hostname(),
    bootId: (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim(),
  };
}

/** The column "Hard Limit" of /proc/PID/limits. */
function hardLimits(text: string): ReadonlyMap<string, number> {
  const lines = text.split('\n');
  return new Map(
    Object.entries(RLIMIT_HEADINGS).flatMap(([name, heading]) => {
      const hard = lines
        .find((line) => line.startsWith(`${heading} `))
        ?.slice(heading.length)
        .trim()
        .split(/\s+/)[1];
      if (hard === undefined) return [];
      return [[`RLIMIT_${name.toUpperCase()}`, hard === 'unlimited' ? Infinity : Number(hard)] as const];
    }),
  );
}

/** cgroup v2 always has it; v1 only with `swapaccount=1`. */
async function hasSwapAccounting(): Promise<boolean> {
  const either = ['/sys/fs/cgroup/cgroup.controllers', '/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes'];
  const found = await Promise.allSettled(either.map((path) => access(path)));
  return found.some((result) => result.status === 'fulfilled');
}

/** A v2 tree beside v1 controllers does not count: crun uses v1 alone then. */
async function hasController(name: string): Promise<boolean> {
  const hierarchies = await cgroupHierarchies();
  if (layoutOf(hierarchies) !== 'unified') return hierarchies.some(({ controllers }) => controllers.includes(name));
  const root = hierarchies[0]?.mountPoint ?? '';
  return (await readFile(`${root}/cgroup.controllers`, 'utf8')).trim().split(' ').includes(name);
}
