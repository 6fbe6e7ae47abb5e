import type { RootfsChange, RootfsChanges } from '../../model/rootfs-changes.ts';
import type { PodService } from '../pods/pod-service.ts';
import { needPlace } from '../rootfs-place.ts';
import type { RootfsStores } from '../rootfs-stores.ts';
import type { ContainerService } from './container-service.ts';

/** What containers have changed against their images. */
export class ContainerChanges {
  readonly #pods: Pick<PodService, 'backendOf'>;
  readonly #stores: Pick<RootfsStores, 'find'>;
  readonly #containers: Pick<ContainerService, 'get'>;

  constructor(
    pods: Pick<PodService, 'backendOf'>,
    stores: Pick<RootfsStores, 'find'>,
    containers: Pick<ContainerService, 'get'>,
  ) {
    this.#pods = pods;
    this.#stores = stores;
    this.#containers = containers;
  }

  /**
   * The root filesystem of a container beside its image; the caller closes it. Empty files and directories that the runtime has
   * made as targets of mounts are no changes. @throws CriError NOT_FOUND, FAILED_PRECONDITION; the signal's reason.
   */
  async open(id: string, signal?: AbortSignal): Promise<RootfsChanges> {
    const record = this.#containers.get(id);
    const backend = this.#pods.backendOf(record.sandboxId);
    const { store } = needPlace(record, backend, this.#stores);
    const spec = await backend.runner.spec(record.id);
    const targets = new Set(spec?.mounts.map(({ destination }) => destination.replace(/^\//, '')));
    const changes = await store.changes(record.id, signal);
    return { ...changes, list: (abort) => without(targets, changes.list(abort)) };
  }

  /** The changes of a container, in batches, as RootfsChanges has them. @throws as {@link open}. */
  async *list(id: string, signal?: AbortSignal): AsyncGenerator<RootfsChange[]> {
    const changes = await this.open(id, signal);
    try {
      yield* changes.list(signal);
    } finally {
      await changes.close();
    }
  }
}

async function* without(
  targets: ReadonlySet<string>,
  batches: AsyncIterable<RootfsChange[]>,
): AsyncGenerator<RootfsChange[]> {
  for await (const batch of batches) {
    const kept = batch.filter(({ kind, path }) => kind !== 'added' || !targets.has(path.toString()));
    if (kept.length > 0) yield kept;
  }
}
