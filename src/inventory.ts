import { type NetworkPoolFigures, sumOfPools } from './core/model/network-pool.ts';
import type { ContainerState, InventorySource, PodState } from './core/metrics/inventory.ts';
import type { Metrics } from './core/metrics/metrics.ts';
import type { StoreSpace } from './core/model/rootfs.ts';
import type { RootfsStores } from './core/lifecycle/rootfs-stores.ts';
import type { Services } from './cri/rpc/services.ts';

/** What there is, for the gauges. */
export function inventory(
  { pods, containers, images, backends }: Pick<Services, 'pods' | 'containers' | 'images' | 'backends'>,
  plugins: () => number,
): InventorySource {
  return {
    handlers: () => backends.map(({ sandboxes }) => sandboxes.handler),
    pods: () =>
      pods.list().map(({ handler, phase }) => {
        const state: PodState = phase === 'ready' ? 'ready' : 'stopped';
        return { handler, state };
      }),
    containers: () => {
      const handlers = new Map(pods.list().map(({ id, handler }) => [id, handler]));
      return containers.list().map(({ sandboxId, phase }) => {
        const state: ContainerState = phase === 'running' || phase === 'exited' ? phase : 'created';
        return { handler: handlers.get(sandboxId) ?? '', state };
      });
    },
    images: () => images.list().length,
    warmPools: () =>
      new Map(
        backends.flatMap(({ sandboxes: { handler, warmPool } }) => (warmPool ? [[handler, warmPool.figures()]] : [])),
      ),
    networkPool: () => networkFigures(backends),
    plugins,
  };
}

/** The figures of all network pools together. */
export function networkFigures(backends: Services['backends']): NetworkPoolFigures {
  return sumOfPools(new Set(backends.flatMap(({ network: { pool } }) => pool ?? [])));
}

/** The space of each store by its name, without those that cannot be read. */
export async function spaceOf({ all }: Pick<RootfsStores, 'all'>): Promise<ReadonlyMap<string, StoreSpace>> {
  const read = await Promise.allSettled(all.map(async (store) => [store.name, await store.space()] as const));
  return new Map(read.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : [])));
}

/** Counts the exit of a container by its reason; that of a pod does not count. */
export function countExit(
  metrics: Pick<Metrics, 'oomKills' | 'lostContainers'>,
  { pods, containers }: Pick<Services, 'pods' | 'containers'>,
  id: string,
): void {
  const record = containers.list().find((each) => each.id === id);
  if (record?.reason !== 'OOMKilled' && record?.reason !== 'Unknown') return;
  const handler = pods.list().find((pod) => pod.id === record.sandboxId)?.handler ?? '';
  (record.reason === 'OOMKilled' ? metrics.oomKills : metrics.lostContainers).inc({ handler });
}
