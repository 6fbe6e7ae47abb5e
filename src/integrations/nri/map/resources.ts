import { LinuxCPU, LinuxMemory, LinuxResources } from '../../../../api/gen/nri.ts';
import { invalidArgument, unimplemented } from '../../../core/model/errors.ts';
import type { Limit, ResourceLimits } from '../../../core/model/resources.ts';
import { defined } from '../../../utils/object.ts';

const CPU_LIST = /^(\d+(-\d+)?)(,\d+(-\d+)?)*$/;
const CGROUP_FILE = /^[a-z_]+(\.[a-zA-Z0-9_]+)+$/;
/** 8 PiB, beyond which a number means no limit. */
const UNLIMITED_FROM = BigInt(Number.MAX_SAFE_INTEGER);

/** Limits in NRI's form; "no limit" is -1. */
export function toLinuxResources(limits: ResourceLimits): LinuxResources {
  const number = (value: Limit | undefined) =>
    value === undefined ? undefined : { value: value === 'unlimited' ? -1n : BigInt(value) };
  const unsigned = (value: number | undefined) => (value === undefined ? undefined : { value: BigInt(value) });
  return LinuxResources.create({
    memory: LinuxMemory.create({
      limit: number(limits.memory),
      reservation: number(limits.memoryReservation),
      swap: number(limits.memorySwap),
      swappiness: unsigned(limits.memorySwappiness),
      ...(limits.disableOomKiller !== undefined && { disableOomKiller: { value: limits.disableOomKiller } }),
    }),
    cpu: LinuxCPU.create({
      shares: unsigned(limits.cpuShares),
      quota: number(limits.cpuQuota),
      period: unsigned(limits.cpuPeriod),
      realtimeRuntime: number(limits.cpuRealtimeRuntime),
      realtimePeriod: unsigned(limits.cpuRealtimePeriod),
      cpus: limits.cpusetCpus ?? '',
      mems: limits.cpusetMems ?? '',
    }),
    hugepageLimits: (limits.hugepages ?? []).map(({ pageSize, limit }) => ({
      pageSize,
      limit: limit === 'unlimited' ? 2n ** 63n - 4096n : BigInt(limit),
    })),
    unified: limits.unified ?? {},
    ...(limits.pids !== undefined && { pids: { limit: limits.pids === 'unlimited' ? -1n : BigInt(limits.pids) } }),
  });
}

/**
 * The limits that a plugin wants. A limit of memory of 0 means no limit: plugins repeat what they were told.
 * @param of names the plugin and the message, for errors.
 * @throws CriError INVALID_ARGUMENT, UNIMPLEMENTED for what this server cannot limit.
 */
export function fromLinuxResources(resources: LinuxResources | undefined, of: string): ResourceLimits {
  if (resources === undefined) return {};
  const { memory, cpu, unified, hugepageLimits, blockioClass, rdtClass, pids } = resources;
  if (blockioClass !== undefined) throw unimplemented(`${of}.blockio_class: classes of block I/O`);
  if (rdtClass !== undefined) throw unimplemented(`${of}.rdt_class: classes of RDT`);
  for (const key of ['kernel', 'kernelTcp', 'useHierarchy'] as const)
    if (memory?.[key] !== undefined) throw unimplemented(`${of}.memory: ${key}`);
  const period = cpu?.period && Number(cpu.period.value);
  if (period !== undefined && period !== 0 && (period < 1000 || period > 1_000_000))
    throw invalidArgument(`${of}.cpu.period`, 'must be from 1000 to 1000000 microseconds');
  const shares = cpu?.shares && Math.max(2, Math.min(Number(cpu.shares.value), Number.MAX_SAFE_INTEGER));
  return defined({
    memory: limit(memory?.limit),
    memoryReservation: limit(memory?.reservation),
    memorySwap: limit(memory?.swap),
    memorySwappiness: memory?.swappiness && Number(memory.swappiness.value),
    disableOomKiller: memory?.disableOomKiller?.value,
    cpuShares: cpu?.shares?.value === 0n ? undefined : shares,
    cpuQuota: limit(cpu?.quota),
    cpuPeriod: period === 0 ? undefined : period,
    cpuRealtimeRuntime: cpu?.realtimeRuntime && Number(cpu.realtimeRuntime.value),
    cpuRealtimePeriod: cpu?.realtimePeriod && Number(cpu.realtimePeriod.value),
    cpusetCpus: cpuList(cpu?.cpus, `${of}.cpu.cpus`),
    cpusetMems: cpuList(cpu?.mems, `${of}.cpu.mems`),
    hugepages: hugepageLimits.length > 0 ? hugepages(hugepageLimits, of) : undefined,
    unified: Object.keys(unified).length > 0 ? cgroupFiles(unified, of) : undefined,
    pids: pids && (pids.limit <= 0n ? 'unlimited' : Number(pids.limit)),
  });
}

function limit(value: { value: bigint } | undefined): Limit | undefined {
  if (value === undefined || value.value === 0n) return undefined;
  return value.value < 0n || value.value >= UNLIMITED_FROM ? 'unlimited' : Number(value.value);
}

function cpuList(value: string | undefined, field: string): string | undefined {
  if (value === undefined || value === '') return undefined;
  if (!CPU_LIST.test(value)) throw invalidArgument(field, `${JSON.stringify(value)} must look like "0-3,6"`);
  return value;
}

function hugepages(limits: LinuxResources['hugepageLimits'], of: string): ResourceLimits['hugepages'] {
  return limits.map(({ pageSize, limit: most }) => {
    if (!/^\d+[KMG]B$/.test(pageSize)) throw invalidArgument(`${of}.hugepage_limits`, 'page_size must look like "2MB"');
    return { pageSize, limit: most >= UNLIMITED_FROM ? 'unlimited' : Number(most) };
  });
}

function cgroupFiles(unified: Record<string, string>, of: string): Record<string, string> {
  for (const [key, value] of Object.entries(unified))
    if (!CGROUP_FILE.test(key) || value.includes('\0'))
      throw invalidArgument(`${of}.unified`, `${JSON.stringify(key)} must be the name of a cgroup v2 file`);
  return unified;
}
