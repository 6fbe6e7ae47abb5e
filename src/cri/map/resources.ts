import { LinuxContainerResources } from '../../../api/gen/cri.ts';
import { invalidArgument } from '../../core/model/errors.ts';
import type { Limit, ResourceLimits } from '../../core/model/resources.ts';
import { defined } from '../../utils/object.ts';

const CPU_LIST = /^(\d+(-\d+)?)(,\d+(-\d+)?)*$/;
/** 8 PiB: on cgroup v1 "no limit" is a number near 2^63, which the kubelet reads and sends. */
const UNLIMITED_FROM = BigInt(Number.MAX_SAFE_INTEGER);

/**
 * The limits of a container. Zero means "not set" (CRI LinuxContainerResources); a negative number, or one that exceeds every
 * machine, means "no limit".
 * @param field path of the message, for errors.
 * @throws CriError INVALID_ARGUMENT naming the field.
 */
export function containerLimits(request: LinuxContainerResources | undefined, field: string): ResourceLimits {
  if (request === undefined) return {};
  if (request.cpuShares < 0n) throw invalidArgument(`${field}.cpu_shares`, 'must not be negative');
  if (request.cpuQuota > 0n && request.cpuQuota < 1000n) {
    throw invalidArgument(`${field}.cpu_quota`, 'must be at least 1000 microseconds, or -1 for no limit');
  }
  const limits = limitsOf(request, field);
  const { memory, memorySwap } = limits;
  if (typeof memory === 'number' && typeof memorySwap === 'number' && memorySwap < memory) {
    throw invalidArgument(
      `${field}.memory_swap_limit_in_bytes`,
      'is memory plus swap; must be at least memory_limit_in_bytes',
    );
  }
  return limits;
}

/**
 * The limits of a whole pod, or its overhead, which are only recorded. The kubelet reads some of them from the pod's cgroup and
 * subtracts the overhead, so any number is possible.
 * @throws CriError INVALID_ARGUMENT naming the field.
 */
export function podLimits(request: LinuxContainerResources | undefined, field: string): ResourceLimits | undefined {
  return request && limitsOf(request, field);
}

function limitsOf(request: LinuxContainerResources, field: string): ResourceLimits {
  const { cpuShares, cpuPeriod, oomScoreAdj, unified } = request;
  if (cpuPeriod !== 0n && (cpuPeriod < 1000n || cpuPeriod > 1_000_000n)) {
    throw invalidArgument(`${field}.cpu_period`, 'must be from 1000 to 1000000 microseconds');
  }
  if (oomScoreAdj < -1000n || oomScoreAdj > 1000n) {
    throw invalidArgument(`${field}.oom_score_adj`, 'must be from -1000 to 1000');
  }
  // The kernel's minimum is 2; Kubernetes sends at least 2, and Docker rounds up as well.
  const shares = cpuShares > UNLIMITED_FROM ? UNLIMITED_FROM : cpuShares < 2n ? 2n : cpuShares;
  return defined({
    cpuShares: cpuShares > 0n ? Number(shares) : undefined,
    cpuQuota: limit(request.cpuQuota),
    cpuPeriod: cpuPeriod === 0n ? undefined : Number(cpuPeriod),
    cpusetCpus: cpuList(request.cpusetCpus, `${field}.cpuset_cpus`),
    cpusetMems: cpuList(request.cpusetMems, `${field}.cpuset_mems`),
    memory: limit(request.memoryLimitInBytes),
    memorySwap: limit(request.memorySwapLimitInBytes),
    hugepages: hugepages(request, field),
    unified: Object.keys(unified).length > 0 ? cgroupFiles(unified, field) : undefined,
    oomScoreAdj: oomScoreAdj === 0n ? undefined : Number(oomScoreAdj),
  });
}

function limit(value: bigint): Limit | undefined {
  if (value === 0n) return undefined;
  return value < 0n || value >= UNLIMITED_FROM ? 'unlimited' : Number(value);
}

function cpuList(value: string, field: string): string | undefined {
  if (value === '') return undefined;
  if (!CPU_LIST.test(value)) throw invalidArgument(field, `${JSON.stringify(value)} must look like "0-3,6"`);
  return value;
}

function hugepages(
  { hugepageLimits }: LinuxContainerResources,
  field: string,
): ResourceLimits['hugepages'] | undefined {
  if (hugepageLimits.length === 0) return undefined;
  return hugepageLimits.map((one, index) => {
    const at = `${field}.hugepage_limits[${String(index)}]`;
    if (!/^\d+[KMG]B$/.test(one.pageSize)) throw invalidArgument(`${at}.page_size`, 'must look like "2MB"');
    // Zero is a limit here: the kubelet sends it for every size that a container must not use.
    return { pageSize: one.pageSize, limit: limit(one.limit) ?? 0 };
  });
}

function cgroupFiles(unified: Record<string, string>, field: string): Record<string, string> {
  for (const [key, value] of Object.entries(unified)) {
    const at = `${field}.unified[${JSON.stringify(key)}]`;
    if (!/^[a-z_]+(\.[a-zA-Z0-9_]+)+$/.test(key)) throw invalidArgument(at, 'must be the name of a cgroup v2 file');
    if (value.includes('\0')) throw invalidArgument(at, 'must not contain a NUL byte');
  }
  return unified;
}

/** The limits in CRI's form; "no limit" is -1. */
export function toLinuxResources(limits: ResourceLimits): LinuxContainerResources {
  const number = (value: Limit | undefined) => (value === 'unlimited' ? -1n : BigInt(value ?? 0));
  return LinuxContainerResources.create({
    cpuPeriod: BigInt(limits.cpuPeriod ?? 0),
    cpuQuota: number(limits.cpuQuota),
    cpuShares: BigInt(limits.cpuShares ?? 0),
    memoryLimitInBytes: number(limits.memory),
    oomScoreAdj: BigInt(limits.oomScoreAdj ?? 0),
    cpusetCpus: limits.cpusetCpus ?? '',
    cpusetMems: limits.cpusetMems ?? '',
    hugepageLimits: (limits.hugepages ?? []).map(({ pageSize, limit: most }) => ({
      pageSize,
      limit: most === 'unlimited' ? 2n ** 63n - 4096n : BigInt(most),
    })),
    unified: limits.unified ?? {},
    memorySwapLimitInBytes: number(limits.memorySwap),
  });
}
