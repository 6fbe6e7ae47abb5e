import { Counter, Gauge, type Registry } from 'prom-client';
import type { NetworkPoolFigures } from '../model/network-pool.ts';
import type { WarmPoolFigures } from '../model/warm-pool.ts';
import { PREFIX } from './prefix.ts';

/** The handler and the state of a pod or container. */
export interface Placed<S extends string> {
  handler: string;
  state: S;
}

const POD_STATES = ['ready', 'stopped'] as const;
const CONTAINER_STATES = ['created', 'running', 'exited'] as const;
export type PodState = (typeof POD_STATES)[number];
export type ContainerState = (typeof CONTAINER_STATES)[number];

/** Source of the gauges: what there is at the time of the scrape. */
export interface InventorySource {
  /** Those that are served. */
  handlers(): readonly string[];
  pods(): readonly Placed<PodState>[];
  containers(): readonly Placed<ContainerState>[];
  images(): number;
  /** By handler. */
  warmPools(): ReadonlyMap<string, WarmPoolFigures>;
  networkPool(): NetworkPoolFigures;
  /** Connected plugins of NRI. */
  plugins(): number;
}

/** Adds the gauges of pods, containers, images, pools and plugins, read from `source` at each scrape. */
export function watchInventory(registry: Registry, source: () => InventorySource | undefined): void {
  const registers = [registry];
  const byState = <S extends string>(
    name: string,
    help: string,
    states: readonly S[],
    read: (source: InventorySource) => readonly Placed<S>[],
  ) =>
    new Gauge({
      name: `${PREFIX}${name}`,
      help,
      labelNames: ['handler', 'state'],
      registers,
      collect() {
        this.reset();
        const now = source();
        if (now === undefined) return;
        for (const handler of now.handlers()) for (const state of states) this.set({ handler, state }, 0);
        for (const { handler, state } of read(now)) this.inc({ handler, state });
      },
    });
  byState('pods', 'Pod sandboxes by handler and state.', POD_STATES, (now) => now.pods());
  byState('containers', 'Containers by handler of their pod and state.', CONTAINER_STATES, (now) => now.containers());
  new Gauge({
    name: `${PREFIX}images`,
    help: 'Images present.',
    registers,
    collect() {
      this.set(source()?.images() ?? 0);
    },
  });
  new Gauge({
    name: `${PREFIX}nri_plugins`,
    help: 'NRI plugins connected.',
    registers,
    collect() {
      this.set(source()?.plugins() ?? 0);
    },
  });
  new Gauge({
    name: `${PREFIX}warm_pool_guests`,
    help: 'Guests of warm pools by handler and state: ready for a pod, or being created.',
    labelNames: ['handler', 'state'],
    registers,
    collect() {
      for (const [handler, { ready, creating }] of source()?.warmPools() ?? []) {
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
      for (const [handler, { claimed, missed }] of source()?.warmPools() ?? []) {
        this.inc({ handler, outcome: 'claimed' }, claimed);
        this.inc({ handler, outcome: 'missed' }, missed);
      }
    },
  });
  new Gauge({
    name: `${PREFIX}prepared_networks`,
    help: 'Networks without a pod by state: ready for one, being created, or being released.',
    labelNames: ['state'],
    registers,
    collect() {
      const { ready = 0, creating = 0, releasing = 0 } = source()?.networkPool() ?? {};
      for (const [state, count] of Object.entries({ ready, creating, releasing })) this.set({ state }, count);
    },
  });
  new Counter({
    name: `${PREFIX}prepared_network_pods_total`,
    help: 'Pods that can have a prepared network by outcome: one was claimed, or none was ready (missed).',
    labelNames: ['outcome'],
    registers,
    collect() {
      this.reset();
      const { claimed = 0, missed = 0 } = source()?.networkPool() ?? {};
      this.inc({ outcome: 'claimed' }, claimed);
      this.inc({ outcome: 'missed' }, missed);
    },
  });
}
