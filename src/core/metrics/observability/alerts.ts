import { stringify } from 'yaml';

/** An alert of Prometheus. */
export interface Alert {
  alert: string;
  expr: string;
  /** For how long `expr` must hold. */
  for: string;
  severity: 'critical' | 'warning' | 'info';
  summary: string;
  /** What it means and what to do. */
  description: string;
}

/** The job of the scrape configuration; the PodMonitor of the chart sets it. */
const JOB = 'job="proxmox-lxcri"';

/** The alerts of a node, each on metrics that the server exports. */
export const ALERTS: readonly Alert[] = [
  {
    ...{ alert: 'ProxmoxLxcriDown', expr: `up{${JOB}} == 0`, for: '5m', severity: 'critical' },
    summary: 'proxmox-lxcri on {{ $labels.instance }} does not answer',
    description: 'Containers run on, but the kubelet cannot start or stop any. Read the log of the server.',
  },
  {
    alert: 'ProxmoxLxcriRestarts',
    ...{ expr: `changes(process_start_time_seconds{${JOB}}[30m]) > 2`, for: '0m', severity: 'warning' },
    summary: 'proxmox-lxcri on {{ $labels.instance }} has restarted {{ $value }} times in 30 minutes',
    description: 'Each restart cancels RPCs in flight. The reason is at the end of the log of the earlier process.',
  },
  {
    alert: 'ProxmoxLxcriRpcFailures',
    expr:
      'sum by (instance, method) (rate(proxmox_lxcri_rpc_requests_total{code!~"OK|NOT_FOUND|CANCELLED|UNIMPLEMENTED"}[10m]))' +
      ' / sum by (instance, method) (rate(proxmox_lxcri_rpc_requests_total[10m])) > 0.2',
    ...{ for: '10m', severity: 'warning' },
    summary: '{{ $value | humanizePercentage }} of {{ $labels.method }} fail on {{ $labels.instance }}',
    description: 'The log has a line "{{ $labels.method }} failed" with the error for each of them.',
  },
  {
    alert: 'ProxmoxLxcriPodStartSlow',
    expr:
      'histogram_quantile(0.9, sum by (instance, handler, le) ' +
      '(rate(proxmox_lxcri_rpc_duration_seconds_bucket{method="RunPodSandbox"}[15m]))) > 30',
    ...{ for: '15m', severity: 'warning' },
    summary: 'Pods of {{ $labels.handler }} on {{ $labels.instance }} take more than 30 seconds to start',
    description: 'The durations of sandbox, CNI and Proxmox operations tell which step is slow.',
  },
  {
    alert: 'ProxmoxLxcriImagePullsFail',
    expr: 'increase(proxmox_lxcri_image_pulls_total{code!~"OK|NOT_FOUND|CANCELLED"}[15m]) > 5',
    ...{ for: '0m', severity: 'warning' },
    summary: 'Image pulls fail with {{ $labels.code }} on {{ $labels.instance }}',
    description: 'UNAVAILABLE: a registry is not reachable; RESOURCE_EXHAUSTED: no space for layers. See the log.',
  },
  {
    alert: 'ProxmoxLxcriCniFails',
    expr: 'increase(proxmox_lxcri_cni_operations_total{result="failure",operation=~"ADD|DEL"}[15m]) > 3',
    ...{ for: '0m', severity: 'warning' },
    summary: 'CNI plugin {{ $labels.plugin }} fails to {{ $labels.operation }} on {{ $labels.instance }}',
    description: 'Pods stay in ContainerCreating (ADD) or Terminating (DEL). The log has the error of the plugin.',
  },
  {
    alert: 'ProxmoxLxcriStoreAlmostFull',
    expr:
      'proxmox_lxcri_rootfs_store_free_bytes' +
      ' / (proxmox_lxcri_rootfs_store_free_bytes + proxmox_lxcri_rootfs_store_used_bytes) < 0.1',
    ...{ for: '10m', severity: 'warning' },
    summary: '{{ $value | humanizePercentage }} free for {{ $labels.store }} on {{ $labels.instance }}',
    description: 'Images can no longer be pulled soon. Run "proxmox-lxcri prune", or enlarge the pool or filesystem.',
  },
  {
    alert: 'ProxmoxLxcriMonitorsLost',
    expr: 'increase(proxmox_lxcri_container_monitors_lost_total[15m]) > 0',
    ...{ for: '0m', severity: 'warning' },
    summary: 'Monitors of containers were killed on {{ $labels.instance }}',
    description: 'Those containers run on without log, and their exit code will be lost. Restart their pods.',
  },
  {
    alert: 'ProxmoxLxcriOomKills',
    expr: 'increase(proxmox_lxcri_container_oom_kills_total[15m]) > 3',
    ...{ for: '0m', severity: 'info' },
    summary: '{{ $value | humanize }} containers of {{ $labels.handler }} were OOMKilled on {{ $labels.instance }}',
    description: 'Their memory limits are too low, or they leak memory.',
  },
  {
    alert: 'ProxmoxLxcriRecoveryFails',
    expr: 'increase(proxmox_lxcri_recovered_total{outcome="failed"}[30m]) > 0',
    ...{ for: '0m', severity: 'warning' },
    summary: 'Recovery of a {{ $labels.object }} failed on {{ $labels.instance }}',
    description: 'It is retried. The log has the reason in the line "Recovering a pod failed".',
  },
  {
    alert: 'ProxmoxLxcriEventsDropped',
    expr: 'increase(proxmox_lxcri_container_events_dropped_total[15m]) > 0',
    ...{ for: '0m', severity: 'warning' },
    summary: 'Events were dropped for a slow reader on {{ $labels.instance }}',
    description: 'The kubelet notices changes of these pods only at its next relist.',
  },
  {
    alert: 'ProxmoxLxcriEventLoopLag',
    ...{ expr: `nodejs_eventloop_lag_p99_seconds{${JOB}} > 1`, for: '10m', severity: 'warning' },
    summary: 'The event loop of proxmox-lxcri on {{ $labels.instance }} lags by {{ $value | humanizeDuration }}',
    description: 'All RPCs wait that long. The node lacks processor time or memory, or a disk stalls.',
  },
  {
    alert: 'ProxmoxLxcriProxmoxApiFails',
    expr: 'increase(proxmox_lxcri_proxmox_api_calls_total{outcome=~"unreachable|timeout|forbidden|unauthenticated|noQuorum"}[15m]) > 3',
    ...{ for: '0m', severity: 'warning' },
    summary: '{{ $labels.endpoint }} of the Proxmox API fails ({{ $labels.outcome }}) on {{ $labels.instance }}',
    description: 'Pods as Proxmox guests cannot be started or removed. Run "proxmox-lxcri doctor".',
  },
  {
    alert: 'ProxmoxLxcriTasksFail',
    expr: 'increase(proxmox_lxcri_proxmox_tasks_total{outcome!~"ok|warnings"}[15m]) > 3',
    ...{ for: '0m', severity: 'warning' },
    summary: 'Proxmox tasks {{ $labels.type }} fail ({{ $labels.outcome }}) on {{ $labels.instance }}',
    description: 'The task log of the node in Proxmox VE has the reason.',
  },
  {
    alert: 'ProxmoxLxcriPluginsLost',
    expr: 'increase(proxmox_lxcri_nri_plugin_disconnections_total[15m]) > 0',
    ...{ for: '0m', severity: 'info' },
    summary: 'NRI plugins disconnected on {{ $labels.instance }}',
    description: 'The log names the plugin and the reason.',
  },
];

/** The rule file of Prometheus, whose `groups` are those of a PrometheusRule as well. */
export function alertRules(): string {
  const rules = ALERTS.map(({ alert, expr, for: duration, severity, summary, description }) => ({
    ...{ alert, expr, for: duration, labels: { severity } },
    annotations: { summary, description },
  }));
  const note = '# Generated by `npm run docs` from src/core/metrics/observability/alerts.ts. Do not edit.\n';
  return `${note}${stringify({ groups: [{ name: 'proxmox-lxcri', rules }] }, { lineWidth: 0 })}`;
}
