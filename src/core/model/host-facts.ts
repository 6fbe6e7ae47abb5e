/** What this machine lets containers have; read once at start. */
export interface HostFacts {
  /** Capability names without `CAP_` that this process may hand on. */
  capabilities: ReadonlySet<string>;
  /** The lowest oom_score_adj that may be given: the own one without CAP_SYS_RESOURCE, -1000 with it. */
  minOomScoreAdj: number;
  /** This process's own hard limits, by names such as RLIMIT_NOFILE; Infinity for none. */
  hardLimits: ReadonlyMap<string, number>;
  /** Whether the kernel can limit swap. */
  swapAccounting: boolean;
  /** Whether the kernel can limit huge pages: its hugetlb controller is there. */
  hugetlbController: boolean;
  /** Whether cgroup v2 is all there is. */
  unifiedCgroups: boolean;
  /** Whether SELinux is in force: its file system is mounted. */
  selinux: boolean;
  /** The node's own host name. */
  hostname: string;
  /** /proc/sys/kernel/random/boot_id. */
  bootId: string;
}
