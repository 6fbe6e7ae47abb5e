import { failedPrecondition } from '../../model/errors.ts';
import type { HostFacts } from '../../model/host-facts.ts';
import type { OciResources } from '../../model/oci-runtime.ts';
import type { Limit, ResourceLimits } from '../../model/resources.ts';
import { defined } from '../../../utils/object.ts';

type Machine = Pick<HostFacts, 'swapAccounting' | 'hugetlbController' | 'unifiedCgroups'>;

/** "No limit" on cgroup v1: close to the kernel's maximum, since crun 1.8 cannot write a negative number there. */
const LIFTED_QUOTA = 17_179_869_184_000;
/** The kernel's default, in microseconds. */
const DEFAULT_PERIOD = 100_000;
/** PAGE_COUNTER_MAX in bytes: the kernel's value for "no limit" on cgroup v1. */
const NO_LIMIT = 2 ** 63 - 4096;

/**
 * A new container's limits as `linux.resources`; oom_score_adj belongs to the process and is not here.
 * @param machine limits that the kernel supports. @throws CriError FAILED_PRECONDITION for an unsupported limit.
 */
export function ociResources(limits: ResourceLimits, machine: Machine): OciResources {
  const limit = finite(limits.memory);
  const swap = limits.memorySwap ?? (machine.swapAccounting ? limit : undefined);
  return resources(limits, 'config.linux.resources', machine, {
    cpu: {
      shares: limits.cpuShares,
      quota: finite(limits.cpuQuota),
      period: limits.cpuPeriod,
      cpus: limits.cpusetCpus,
      mems: limits.cpusetMems,
      realtimeRuntime: limits.cpuRealtimeRuntime,
      realtimePeriod: limits.cpuRealtimePeriod,
    },
    // Kubernetes without LimitedSwap: a container has no swap.
    memory: { limit, swap: finite(swap), reservation: finite(limits.memoryReservation) },
    pids: finite(limits.pids),
    most: undefined,
  });
}

/**
 * `linux.resources` of a container with its limits: device rules, and the limit of processes where the limits have none, are those
 * of `base`. @throws CriError FAILED_PRECONDITION for an unsupported limit.
 */
export function limitedResources(base: OciResources, limits: ResourceLimits, machine: Machine): OciResources {
  const { pids, ...others } = ociResources(limits, machine);
  // No limit at all instead of the configured one.
  const own = limits.pids === undefined ? base.pids : pids;
  return { ...others, ...defined({ devices: base.devices, pids: own }) };
}

/**
 * The oom_score_adj of a container's processes. Lowering it below the server's value requires CAP_SYS_RESOURCE: the nearest possible
 * value is used.
 */
export function attainableOomScore(limits: ResourceLimits, machine: Pick<HostFacts, 'minOomScoreAdj'>): number {
  return Math.max(limits.oomScoreAdj ?? 0, machine.minOomScoreAdj);
}

/**
 * A change of limits as the document of `crun update`: "no limit" removes an existing limit.
 * @param update the changed limits. @param held all limits after the update.
 * @throws CriError FAILED_PRECONDITION for a limit that this machine does not support.
 */
export function limitsUpdate(update: ResourceLimits, held: ResourceLimits, machine: Machine): OciResources {
  const hasQuota = update.cpuQuota !== undefined || update.cpuPeriod !== undefined;
  const quota = hasQuota ? (update.cpuQuota ?? held.cpuQuota) : undefined;
  // crun writes `max` to cpu.max only beside a period, and a period only beside a quota.
  const period = quota === undefined ? update.cpuPeriod : (held.cpuPeriod ?? DEFAULT_PERIOD);
  const { memory } = update;
  return resources(update, 'linux', machine, {
    cpu: {
      shares: update.cpuShares,
      quota: quota === 'unlimited' ? (machine.unifiedCgroups ? -1 : LIFTED_QUOTA) : quota,
      period,
      cpus: update.cpusetCpus,
      mems: update.cpusetMems,
      realtimeRuntime: update.cpuRealtimeRuntime,
      realtimePeriod: update.cpuRealtimePeriod,
    },
    memory: {
      limit: lifted(memory),
      swap: lifted(update.memorySwap ?? swapBeside(memory, held, machine)),
      reservation: lifted(update.memoryReservation),
    },
    pids: lifted(update.pids),
    most: NO_LIMIT,
  });
}

/** The swap limit follows the memory limit, unless it has its own. */
function swapBeside(memory: Limit | undefined, held: ResourceLimits, machine: Machine): Limit | undefined {
  if (memory === undefined || !machine.swapAccounting) return undefined;
  const { memorySwap } = held;
  if (memory === 'unlimited' || memorySwap === 'unlimited') return 'unlimited';
  return Math.max(memory, memorySwap ?? 0);
}

function resources(
  { hugepages = [], unified, memorySwappiness: swappiness, disableOomKiller: disableOOMKiller }: ResourceLimits,
  field: string,
  machine: Machine,
  values: {
    cpu: Partial<Record<'shares' | 'quota' | 'period' | 'realtimeRuntime' | 'realtimePeriod', number | undefined>> &
      Partial<Record<'cpus' | 'mems', string | undefined>>;
    memory: Record<'limit' | 'swap' | 'reservation', number | undefined>;
    pids: number | undefined;
    /** The value for "no limit" of huge pages; undefined: omitted. */
    most: number | undefined;
  },
): OciResources {
  const unkept = hugepages.findIndex(({ limit }) => typeof limit === 'number' && limit > 0);
  if (unkept >= 0 && !machine.hugetlbController) {
    const at = `${field}.hugepage_limits[${String(unkept)}]`;
    throw failedPrecondition(`${at}: this machine has no hugetlb cgroup controller`);
  }
  const cpu = defined(values.cpu);
  const memory = defined({ ...values.memory, swappiness, disableOOMKiller });
  // The kubelet sends zero for every size of the node, also without the controller.
  const pages = (machine.hugetlbController ? hugepages : []).flatMap(({ pageSize, limit }) => {
    const most = limit === 'unlimited' ? values.most : limit;
    return most === undefined ? [] : [{ pageSize, limit: most }];
  });
  return {
    ...(Object.keys(cpu).length > 0 && { cpu }),
    ...(Object.keys(memory).length > 0 && { memory }),
    ...(pages.length > 0 && { hugepageLimits: pages }),
    ...(values.pids !== undefined && { pids: { limit: values.pids } }),
    ...(unified !== undefined && { unified }),
  };
}

function finite(limit: Limit | undefined): number | undefined {
  return limit === 'unlimited' ? undefined : limit;
}

function lifted(limit: Limit | undefined): number | undefined {
  return limit === 'unlimited' ? -1 : limit;
}
