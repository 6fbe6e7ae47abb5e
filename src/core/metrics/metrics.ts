import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import { type InventorySource, watchInventory } from './inventory.ts';
import { OperationMetrics } from './operations.ts';
import { PREFIX } from './prefix.ts';
import { ProxmoxApiMetrics } from './proxmox-api.ts';
import { PullMetrics } from './pulls.ts';
import { type SpaceSource, watchSpace } from './space.ts';

/** Of prom-client's own: gauges that are named like counters, which `promtool check metrics` refuses. */
const MISNAMED = ['nodejs_active_resources_total', 'nodejs_active_handles_total', 'nodejs_active_requests_total'];

/** All Prometheus metrics of the server, declared in one place. None of them has the name of a pod, container or image. */
export class Metrics {
  readonly registry = new Registry();
  readonly rpcRequests: Counter<'method' | 'handler' | 'code'>;
  readonly rpcDuration: Histogram<'method' | 'handler'>;
  readonly rpcInFlight: Gauge<'method'>;
  readonly events: Counter<'object' | 'kind'>;
  readonly eventsDropped: Counter;
  readonly oomKills: Counter<'handler'>;
  readonly monitorsLost: Counter;
  readonly lostContainers: Counter<'handler'>;
  readonly recovered: Counter<'object' | 'outcome'>;
  readonly pluginsLost: Counter;
  readonly pulls: PullMetrics;
  readonly cni: OperationMetrics<'plugin'>;
  readonly sandboxes: OperationMetrics<'handler'>;
  readonly containers: OperationMetrics<never>;
  readonly rootfs: OperationMetrics<'store'>;
  readonly proxmox: ProxmoxApiMetrics;
  readonly #build: Gauge<'version' | 'commit' | 'node'>;
  #inventory: InventorySource | undefined;
  #space: SpaceSource | undefined;

  constructor() {
    const { registry } = this;
    const registers = [registry];
    this.#build = new Gauge({
      name: `${PREFIX}build_info`,
      help: 'Always 1, with the version of the server, the commit it was built from, and the version of Node.js.',
      labelNames: ['version', 'commit', 'node'],
      registers,
    });
    this.rpcRequests = new Counter({
      name: `${PREFIX}rpc_requests_total`,
      help: 'Completed requests by method, handler of the pod (empty where there is none) and gRPC status code.',
      labelNames: ['method', 'handler', 'code'],
      registers,
    });
    this.rpcDuration = new Histogram({
      name: `${PREFIX}rpc_duration_seconds`,
      help: 'Duration of requests by method and handler, in seconds; without those that return a stream.',
      labelNames: ['method', 'handler'],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 240],
      registers,
    });
    this.rpcInFlight = new Gauge({
      name: `${PREFIX}rpc_in_flight`,
      help: 'Requests in flight, open streams among them.',
      labelNames: ['method'],
      registers,
    });
    this.events = new Counter({
      name: `${PREFIX}container_events_total`,
      help: 'Events by object (pod or container) and kind (created, started, stopped or deleted).',
      labelNames: ['object', 'kind'],
      registers,
    });
    this.eventsDropped = new Counter({
      name: `${PREFIX}container_events_dropped_total`,
      help: 'Events dropped for slow readers of GetContainerEvents.',
      registers,
    });
    this.oomKills = new Counter({
      name: `${PREFIX}container_oom_kills_total`,
      help: 'Containers that exited with the reason OOMKilled, by handler.',
      labelNames: ['handler'],
      registers,
    });
    this.monitorsLost = new Counter({
      name: `${PREFIX}container_monitors_lost_total`,
      help: 'Containers whose monitor (conmon) was killed while they ran: they run on without log, and their exit code will be lost.',
      registers,
    });
    this.lostContainers = new Counter({
      name: `${PREFIX}containers_lost_total`,
      help: 'Containers that ended with an unknown exit code, by handler: without their monitor, or when the node was rebooted.',
      labelNames: ['handler'],
      registers,
    });
    this.recovered = new Counter({
      name: `${PREFIX}recovered_total`,
      help: 'Pods and containers of an earlier server by outcome: adopted, ended, removed or failed.',
      labelNames: ['object', 'outcome'],
      registers,
    });
    this.pluginsLost = new Counter({
      name: `${PREFIX}nri_plugin_disconnections_total`,
      help: 'NRI plugins that disconnected, or were disconnected because they did not answer.',
      registers,
    });
    this.pulls = new PullMetrics(registry);
    this.sandboxes = new OperationMetrics({
      ...{ part: 'sandbox', what: 'operations on pod sandboxes', labels: ['handler'], registry },
    });
    this.containers = new OperationMetrics({
      ...{ part: 'container', what: 'operations of the OCI runtime and its monitor', labels: [], registry },
    });
    this.cni = new OperationMetrics({ part: 'cni', what: 'calls of CNI plugins', labels: ['plugin'], registry });
    this.rootfs = new OperationMetrics({
      ...{ part: 'rootfs', what: 'operations of root filesystem stores', labels: ['store'], registry },
    });
    this.proxmox = new ProxmoxApiMetrics(registry);
    watchInventory(registry, () => this.#inventory);
    watchSpace(registry, () => this.#space);
    collectDefaultMetrics({ register: registry });
    for (const name of MISNAMED) registry.removeSingleMetric(name);
  }

  /** Sets the labels of `build_info`. */
  describeBuild({ version, commit = '', node }: { version: string; commit: string | undefined; node: string }): void {
    this.#build.set({ version, commit, node }, 1);
  }

  /** Has the gauges of what there is read from here at each scrape; they are empty before. */
  watchInventory(source: InventorySource): void {
    this.#inventory = source;
  }

  /** Has the gauges of space read from here. */
  watchSpace(source: SpaceSource): void {
    this.#space = source;
  }
}
