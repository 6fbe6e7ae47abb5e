/** A panel: what is drawn, and how the values read. */
interface Panel {
  title: string;
  /** Unit of Grafana. */
  unit: string;
  /** A query and its legend each. */
  queries: readonly (readonly [expr: string, legend: string])[];
  kind?: 'timeseries' | 'stat';
}

/** Of every query: the nodes that are selected. */
const ON = 'instance=~"$instance"';

/** The job of the scrape configuration: other programs have metrics of these names as well. */
const JOB = 'job="proxmox-lxcri"';

const per = (metric: string, by: string, filter = '') =>
  `sum by (${by}) (rate(${metric}{${ON}${filter === '' ? '' : `,${filter}`}}[$__rate_interval]))`;
const quantile = (metric: string, by: string, filter = '', at = 0.9) =>
  `histogram_quantile(${String(at)}, ${per(`${metric}_bucket`, `le, ${by}`, filter)})`;
const sum = (metric: string, by: string) => `sum by (${by}) (${metric}{${ON}})`;

/** The rows of the dashboard. */
export const ROWS: readonly { title: string; panels: readonly Panel[] }[] = [
  {
    title: 'Node',
    panels: [
      {
        title: 'Ready pods',
        unit: 'short',
        kind: 'stat',
        queries: [[`sum(proxmox_lxcri_pods{${ON},state="ready"})`, '']],
      },
      {
        ...{ title: 'Running containers', unit: 'short', kind: 'stat' },
        queries: [[`sum(proxmox_lxcri_containers{${ON},state="running"})`, '']],
      },
      { title: 'Images', unit: 'short', kind: 'stat', queries: [[`sum(proxmox_lxcri_images{${ON}})`, '']] },
      {
        ...{ title: 'Versions', unit: 'short', kind: 'stat' },
        queries: [[`count by (version) (proxmox_lxcri_build_info{${ON}})`, '{{version}}']],
      },
    ],
  },
  {
    title: 'RPCs',
    panels: [
      {
        title: 'Requests',
        unit: 'reqps',
        queries: [[per('proxmox_lxcri_rpc_requests_total', 'method'), '{{method}}']],
      },
      {
        ...{ title: 'Failures', unit: 'reqps' },
        queries: [[per('proxmox_lxcri_rpc_requests_total', 'method, code', 'code!="OK"'), '{{method}} {{code}}']],
      },
      {
        ...{ title: 'Duration, 90th percentile', unit: 's' },
        queries: [[quantile('proxmox_lxcri_rpc_duration_seconds', 'method'), '{{method}}']],
      },
      {
        ...{ title: 'RunPodSandbox by handler', unit: 's' },
        queries: [0.5, 0.9, 0.99].map((at) => [
          quantile('proxmox_lxcri_rpc_duration_seconds', 'handler', 'method="RunPodSandbox"', at),
          `{{handler}} p${String(at * 100)}`,
        ]),
      },
      { title: 'In flight', unit: 'short', queries: [[sum('proxmox_lxcri_rpc_in_flight', 'method'), '{{method}}']] },
    ],
  },
  {
    title: 'Pods and containers',
    panels: [
      {
        title: 'Pods',
        unit: 'short',
        queries: [[sum('proxmox_lxcri_pods', 'handler, state'), '{{handler}} {{state}}']],
      },
      {
        ...{ title: 'Containers', unit: 'short' },
        queries: [[sum('proxmox_lxcri_containers', 'handler, state'), '{{handler}} {{state}}']],
      },
      {
        ...{ title: 'Events', unit: 'ops' },
        queries: [
          [per('proxmox_lxcri_container_events_total', 'object, kind'), '{{object}} {{kind}}'],
          [per('proxmox_lxcri_container_events_dropped_total', 'instance'), 'dropped'],
        ],
      },
      {
        ...{ title: 'OOM kills, lost monitors and exit codes', unit: 'short' },
        queries: ['container_oom_kills', 'container_monitors_lost', 'containers_lost'].map((name) => [
          `sum(increase(proxmox_lxcri_${name}_total{${ON}}[$__rate_interval]))`,
          name.replaceAll('_', ' '),
        ]),
      },
      {
        ...{ title: 'Recovery since the last start', unit: 'short' },
        queries: [[sum('proxmox_lxcri_recovered_total', 'object, outcome'), '{{object}} {{outcome}}']],
      },
    ],
  },
  {
    title: 'Steps',
    panels: [
      {
        ...{ title: 'Sandbox operations, 90th percentile', unit: 's' },
        queries: [
          [
            quantile('proxmox_lxcri_sandbox_operation_duration_seconds', 'handler, operation'),
            '{{handler}} {{operation}}',
          ],
        ],
      },
      {
        ...{ title: 'Container operations, 90th percentile', unit: 's' },
        queries: [[quantile('proxmox_lxcri_container_operation_duration_seconds', 'operation'), '{{operation}}']],
      },
      {
        ...{ title: 'CNI plugins, 90th percentile', unit: 's' },
        queries: [
          [quantile('proxmox_lxcri_cni_operation_duration_seconds', 'plugin, operation'), '{{plugin}} {{operation}}'],
        ],
      },
      {
        ...{ title: 'Prepared networks', unit: 'short' },
        queries: [
          [sum('proxmox_lxcri_prepared_networks', 'state'), '{{state}}'],
          [per('proxmox_lxcri_prepared_network_pods_total', 'outcome'), 'pods {{outcome}}'],
        ],
      },
      {
        ...{ title: 'Failed operations', unit: 'ops' },
        queries: ['sandbox', 'container', 'cni', 'rootfs'].map((part) => [
          per(`proxmox_lxcri_${part}_operations_total`, 'operation', 'result="failure"'),
          `${part} {{operation}}`,
        ]),
      },
    ],
  },
  {
    title: 'Images and storage',
    panels: [
      { title: 'Pulls', unit: 'ops', queries: [[per('proxmox_lxcri_image_pulls_total', 'code'), '{{code}}']] },
      {
        ...{ title: 'Pulls in progress', unit: 'short' },
        queries: [[sum('proxmox_lxcri_image_pulls_in_progress', 'instance'), '{{instance}}']],
      },
      {
        ...{ title: 'Pull duration, 90th percentile', unit: 's' },
        queries: [[quantile('proxmox_lxcri_image_pull_duration_seconds', 'instance'), '{{instance}}']],
      },
      {
        ...{ title: 'Received', unit: 'Bps' },
        queries: [[per('proxmox_lxcri_image_pull_bytes_total', 'instance'), '{{instance}}']],
      },
      {
        ...{ title: 'Throughput of a layer, median', unit: 'Bps' },
        queries: [
          [quantile('proxmox_lxcri_image_pull_throughput_bytes_per_second', 'instance', '', 0.5), '{{instance}}'],
        ],
      },
      {
        ...{ title: 'Layers', unit: 'ops' },
        queries: [[per('proxmox_lxcri_image_pull_layers_total', 'result'), '{{result}}']],
      },
      {
        ...{ title: 'Space', unit: 'bytes' },
        queries: [
          [sum('proxmox_lxcri_rootfs_store_used_bytes', 'instance, store'), '{{instance}} {{store}} used'],
          [sum('proxmox_lxcri_rootfs_store_free_bytes', 'instance, store'), '{{instance}} {{store}} free'],
        ],
      },
      {
        ...{ title: 'Store operations, 90th percentile', unit: 's' },
        queries: [
          [quantile('proxmox_lxcri_rootfs_operation_duration_seconds', 'store, operation'), '{{store}} {{operation}}'],
        ],
      },
    ],
  },
  {
    title: 'Proxmox VE',
    panels: [
      {
        ...{ title: 'API calls', unit: 'reqps' },
        queries: [[per('proxmox_lxcri_proxmox_api_calls_total', 'outcome'), '{{outcome}}']],
      },
      {
        ...{ title: 'API calls, 90th percentile', unit: 's' },
        queries: [[quantile('proxmox_lxcri_proxmox_api_call_duration_seconds', 'endpoint'), '{{endpoint}}']],
      },
      {
        ...{ title: 'Tasks', unit: 'ops' },
        queries: [[per('proxmox_lxcri_proxmox_tasks_total', 'type, outcome'), '{{type}} {{outcome}}']],
      },
      {
        ...{ title: 'Tasks, 90th percentile', unit: 's' },
        queries: [[quantile('proxmox_lxcri_proxmox_task_duration_seconds', 'type'), '{{type}}']],
      },
      {
        ...{ title: 'Warm pool', unit: 'short' },
        queries: [
          [sum('proxmox_lxcri_warm_pool_guests', 'handler, state'), '{{handler}} {{state}}'],
          [per('proxmox_lxcri_warm_pool_pods_total', 'handler, outcome'), '{{handler}} pods {{outcome}}'],
        ],
      },
    ],
  },
  {
    title: 'Process',
    panels: [
      {
        title: 'Processor',
        unit: 'percentunit',
        queries: [[per('process_cpu_seconds_total', 'instance', JOB), '{{instance}}']],
      },
      {
        ...{ title: 'Memory', unit: 'bytes' },
        queries: [[`process_resident_memory_bytes{${ON},${JOB}}`, '{{instance}}']],
      },
      {
        ...{ title: 'Event-loop lag, 99th percentile', unit: 's' },
        queries: [[`nodejs_eventloop_lag_p99_seconds{${ON},${JOB}}`, '{{instance}}']],
      },
      { title: 'Open files', unit: 'short', queries: [[`process_open_fds{${ON},${JOB}}`, '{{instance}}']] },
      {
        ...{ title: 'NRI plugins', unit: 'short' },
        queries: [
          [sum('proxmox_lxcri_nri_plugins', 'instance'), '{{instance}}'],
          [`sum(increase(proxmox_lxcri_nri_plugin_disconnections_total{${ON}}[$__rate_interval]))`, 'disconnected'],
        ],
      },
    ],
  },
];

const COLUMNS = 24;
const SOURCE = { type: 'prometheus', uid: '${datasource}' };

/** The dashboard for Grafana's import, in its JSON model. */
export function dashboard(): string {
  const panels: object[] = [];
  let y = 0;
  let id = 0;
  for (const row of ROWS) {
    panels.push({
      id: (id += 1),
      type: 'row',
      title: row.title,
      collapsed: false,
      gridPos: { x: 0, y, w: COLUMNS, h: 1 },
      panels: [],
    });
    y += 1;
    let x = 0;
    let height = 0;
    for (const { title, unit, queries, kind = 'timeseries' } of row.panels) {
      const [w, h] = kind === 'stat' ? [6, 4] : [8, 8];
      if (x + w > COLUMNS) [x, y] = [0, y + height];
      height = h;
      panels.push({
        ...{ id: (id += 1), type: kind, title, datasource: SOURCE, gridPos: { x, y, w, h } },
        fieldConfig: { defaults: { unit, min: 0 }, overrides: [] },
        options:
          kind === 'stat'
            ? { reduceOptions: { calcs: ['lastNotNull'] } }
            : { tooltip: { mode: 'multi', sort: 'desc' } },
        targets: queries.map(([expr, legendFormat], at) => ({
          ...{ refId: String.fromCharCode(65 + at), datasource: SOURCE, expr, legendFormat },
        })),
      });
      x += w;
    }
    y += height;
  }
  const variable = {
    refresh: 2,
    includeAll: true,
    multi: true,
    allValue: '.*',
    current: { text: 'All', value: '$__all' },
  };
  return `${JSON.stringify(
    {
      ...{
        uid: 'proxmox-lxcri',
        title: 'proxmox-lxcri',
        tags: ['kubernetes', 'proxmox'],
        schemaVersion: 39,
        version: 1,
      },
      ...{ editable: true, refresh: '30s', time: { from: 'now-3h', to: 'now' } },
      templating: {
        list: [
          { name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus' },
          {
            ...{ name: 'instance', label: 'Node', type: 'query', datasource: SOURCE, ...variable },
            query: 'label_values(proxmox_lxcri_build_info, instance)',
          },
        ],
      },
      panels,
    },
    null,
    2,
  )}\n`;
}
