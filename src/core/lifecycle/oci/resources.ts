import type { LinuxContainerResources } from '../../../../api/gen/cri.ts';
import { failedPrecondition, invalidArgument } from '../../model/errors.ts';
import type { HostFacts } from '../../model/host-facts.ts';
import type { OciResources } from '../../model/oci-runtime.ts';

const CPU_LIST = /^(\d+(-\d+)?)(,\d+(-\d+)?)*$/;
/** Lifts a limit on cgroup v1: near the most that the kernel takes, since crun 1.8 cannot write a negative number there. */
const LIFTED_QUOTA = 17_179_869_184_000;
/** The kernel's own, in microseconds. */
const DEFAULT_PERIOD = 100_000;
const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER);

/**
 * CRI's limits as `linux.resources`. Zero means "not given", as in CRI; oom_score_adj belongs to the process and is not
 * here.
 * @param field path of the message, for errors.
 * @param machine what the kernel can limit. With `isUpdate`, "no limit" lifts one that may be there.
 * @throws CriError INVALID_ARGUMENT naming the field, FAILED_PRECONDITION for a limit that this machine cannot keep.
 */
export function ociResources(
  request: LinuxContainerResources | undefined,
  field: string,
  machine: Pick<HostFacts, 'swapAccounting' | 'hugetlbController' | 'unifiedCgroups'>,
  { isUpdate = false } = {},
): OciResources {
  const resources: OciResources = {};
  if (request === undefined) return resources;
  const number = (name: string, value: bigint) => {
    if (value > MAX_SAFE || value < -MAX_SAFE) throw invalidArgument(`${field}.${name}`, 'is out of range');
    return Number(value);
  };
  const cpu: NonNullable<OciResources['cpu']> = {};
  if (request.cpuShares < 0n) throw invalidArgument(`${field}.cpu_shares`, 'must not be negative');
  // Below 2 the kernel has no share; Kubernetes sends 2 as the least, Docker rounds up as well.
  if (request.cpuShares > 0n) cpu.shares = Math.max(2, number('cpu_shares', request.cpuShares));
  if (request.cpuPeriod !== 0n) {
    if (request.cpuPeriod < 1000n || request.cpuPeriod > 1_000_000n) {
      throw invalidArgument(`${field}.cpu_period`, 'must be from 1000 to 1000000 microseconds');
    }
    cpu.period = number('cpu_period', request.cpuPeriod);
  }
  if (request.cpuQuota !== 0n) {
    if (request.cpuQuota > 0n && request.cpuQuota < 1000n) {
      throw invalidArgument(`${field}.cpu_quota`, 'must be at least 1000 microseconds, or -1 for no limit');
    }
    if (request.cpuQuota > 0n) cpu.quota = number('cpu_quota', request.cpuQuota);
    else if (isUpdate) {
      cpu.quota = machine.unifiedCgroups ? -1 : LIFTED_QUOTA;
      // crun writes `max` to cpu.max only beside a period.
      if (machine.unifiedCgroups) cpu.period ??= DEFAULT_PERIOD;
    }
  }
  for (const [name, key, value] of [
    ['cpuset_cpus', 'cpus', request.cpusetCpus],
    ['cpuset_mems', 'mems', request.cpusetMems],
  ] as const) {
    if (value === '') continue;
    if (!CPU_LIST.test(value))
      throw invalidArgument(`${field}.${name}`, `${JSON.stringify(value)} must look like "0-3,6"`);
    cpu[key] = value;
  }
  if (Object.keys(cpu).length > 0) resources.cpu = cpu;

  const memory: NonNullable<OciResources['memory']> = {};
  if (request.memoryLimitInBytes < 0n) throw invalidArgument(`${field}.memory_limit_in_bytes`, 'must not be negative');
  if (request.memoryLimitInBytes > 0n) memory.limit = number('memory_limit_in_bytes', request.memoryLimitInBytes);
  if (request.memorySwapLimitInBytes > 0n) {
    if (request.memorySwapLimitInBytes < request.memoryLimitInBytes) {
      throw invalidArgument(
        `${field}.memory_swap_limit_in_bytes`,
        'is memory plus swap: not below memory_limit_in_bytes',
      );
    }
    memory.swap = number('memory_swap_limit_in_bytes', request.memorySwapLimitInBytes);
  } else if (memory.limit !== undefined && machine.swapAccounting) {
    // Kubernetes without LimitedSwap: a container swaps nothing.
    memory.swap = memory.limit;
  }
  if (Object.keys(memory).length > 0) resources.memory = memory;

  const hugepageLimits = request.hugepageLimits.map((limit, index) => {
    const at = `${field}.hugepage_limits[${String(index)}]`;
    if (!/^\d+[KMG]B$/.test(limit.pageSize)) throw invalidArgument(`${at}.page_size`, 'must look like "2MB"');
    if (limit.limit > 0n && !machine.hugetlbController) {
      throw failedPrecondition(`${at}: this machine has no hugetlb cgroup controller, so no limit can be kept`);
    }
    return { pageSize: limit.pageSize, limit: number(`hugepage_limits[${String(index)}].limit`, limit.limit) };
  });
  // The kubelet sends a zero for every size of the node, which without the controller cannot be written anywhere.
  if (hugepageLimits.length > 0 && machine.hugetlbController) resources.hugepageLimits = hugepageLimits;
  if (Object.keys(request.unified).length > 0) {
    for (const [key, value] of Object.entries(request.unified)) {
      if (!/^[a-z_]+(\.[a-zA-Z0-9_]+)+$/.test(key)) {
        throw invalidArgument(`${field}.unified[${JSON.stringify(key)}]`, 'must be the name of a cgroup v2 file');
      }
      if (/[\0]/.test(value))
        throw invalidArgument(`${field}.unified[${JSON.stringify(key)}]`, 'must hold no NUL byte');
    }
    resources.unified = request.unified;
  }
  return resources;
}
