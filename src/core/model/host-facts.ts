/** Facts of this machine for containers; read once at start. */
export interface HostFacts {
  /** Capability names without `CAP_` in the bounding set of this process. */
  capabilities: ReadonlySet<string>;
  /** The lowest possible oom_score_adj: -1000 with CAP_SYS_RESOURCE, else that of this process. */
  minOomScoreAdj: number;
  /** Hard limits of this process, by names such as RLIMIT_NOFILE; Infinity for none. */
  hardLimits: ReadonlyMap<string, number>;
  /** Whether the kernel can limit swap. */
  swapAccounting: boolean;
  /** Whether the kernel can limit huge pages: its hugetlb controller is there. */
  hugetlbController: boolean;
  /** Whether cgroup v2 is the only hierarchy. */
  unifiedCgroups: boolean;
  /** Whether SELinux is enabled: its filesystem is mounted. */
  selinux: boolean;
  /** The node's own host name. */
  hostname: string;
  /** /proc/sys/kernel/random/boot_id. */
  bootId: string;
}
