/** Groups of the metrics of pods and containers; `metrics.included_pod_metrics` selects them. Names as in CRI-O. */
export const METRIC_GROUPS = [
  'cpu',
  'disk',
  'diskIO',
  'hugetlb',
  'memory',
  'network',
  'oom',
  'pressure',
  'process',
  'spec',
] as const;

export type MetricGroup = (typeof METRIC_GROUPS)[number];

/** The groups of a list in which `all` stands for every one. */
export function selectedGroups(list: readonly (MetricGroup | 'all')[]): ReadonlySet<MetricGroup> {
  return new Set(list.flatMap((name) => (name === 'all' ? METRIC_GROUPS : [name])));
}
