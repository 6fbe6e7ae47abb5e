import type { WarmPoolFigures } from '../model/warm-pool.ts';
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';

/** Of the names of all metrics. */
export const PREFIX = 'proxmox_lxcri_';

/** Source of the gauges: numbers of objects by state at the time of the scrape. */
export interface InventorySource {
  podsByState(): Record<string, number>;
  containersByState(): Record<string, number>;
  images(): number;
  /** By handler. */
  warmPools(): ReadonlyMap<string, WarmPoolFigures>;
}

/** All Prometheus metrics of the server, declared in one place. */
export class Metrics {
  readonly registry = new Registry();
  readonly rpcRequests: Counter<'method' | 'code'>;
  readonly rpcDuration: Histogram<'method'>;
  readonly rpcInFlight: Gauge<'method'>;
  readonly events: Counter<'object' | 'kind'>;
  readonly eventsDropped: Counter;

  constructor() {
    const registers = [this.registry];
    this.rpcRequests = new Counter({
      name: `${PREFIX}rpc_requests_total`,
      help: 'Completed CRI requests by method and gRPC status code.',
      labelNames: ['method', 'code'],
      registers,
    });
    this.rpcDuration = new Histogram({
      name: `${PREFIX}rpc_duration_seconds`,
      help: 'Duration of CRI requests in seconds.',
      labelNames: ['method'],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
      registers,
    });
    this.rpcInFlight = new Gauge({
      name: `${PREFIX}rpc_in_flight`,
      help: 'CRI requests in flight.',
      labelNames: ['method'],
      registers,
    });
    this.events = new Counter({
      name: `${PREFIX}container_events_total`,
      help: 'Pods and containers created, started, stopped and deleted.',
      labelNames: ['object', 'kind'],
      registers,
    });
    this.eventsDropped = new Counter({
      name: `${PREFIX}container_events_dropped_total`,
      help: 'Events dropped for slow readers of GetContainerEvents.',
      registers,
    });
    collectDefaultMetrics({ register: this.registry, prefix: PREFIX });
  }

  /** Adds the gauges of pods, containers and images, read from `source` at each scrape. */
  watchInventory(source: InventorySource): void {
    const registers = [this.registry];
    const byState = (name: string, help: string, read: () => Record<string, number>) =>
      new Gauge({
        name: `${PREFIX}${name}`,
        help,
        labelNames: ['state'],
        registers,
        collect() {
          for (const [state, count] of Object.entries(read())) this.set({ state }, count);
        },
      });
    byState('pods', 'Pod sandboxes by state.', () => source.podsByState());
    byState('containers', 'Containers by state.', () => source.containersByState());
    new Gauge({
      name: `${PREFIX}warm_pool_guests`,
      help: 'Guests of warm pools by handler and state: ready for a pod, or being created.',
      labelNames: ['handler', 'state'],
      registers,
      collect() {
        for (const [handler, { ready, creating }] of source.warmPools()) {
          this.set({ handler, state: 'ready' }, ready);
          this.set({ handler, state: 'creating' }, creating);
        }
      },
    });
    new Counter({
      name: `${PREFIX}warm_pool_pods_total`,
      help: 'Pods that fit a warm pool by handler and outcome: a guest was claimed, or none was ready (missed).',
      labelNames: ['handler', 'outcome'],
      registers,
      collect() {
        this.reset();
        for (const [handler, { claimed, missed }] of source.warmPools()) {
          this.inc({ handler, outcome: 'claimed' }, claimed);
          this.inc({ handler, outcome: 'missed' }, missed);
        }
      },
    });
    new Gauge({
      name: `${PREFIX}images`,
      help: 'Images present.',
      registers,
      collect() {
        this.set(source.images());
      },
    });
  }
}
