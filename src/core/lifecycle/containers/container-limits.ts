import type { KeyedLock } from '../../../utils/async/keyed-lock.ts';
import type { ContainerRecord } from '../../model/container.ts';
import { failedPrecondition, notFound } from '../../model/errors.ts';
import type { OtherChanges } from '../../model/plugins.ts';
import { mergeLimits } from '../../model/resources.ts';
import type { ResourceLimits } from '../../model/resources.ts';
import { limitsUpdate } from '../oci/resources.ts';
import type { PodService } from '../pods/pod-service.ts';
import type { ContainerPlugins } from './container-plugins.ts';
import type { ContainerStore } from './container-store.ts';

interface Parts {
  pods: PodService;
  store: ContainerStore;
  locks: KeyedLock;
  plugins: ContainerPlugins;
}

/** Changes of containers' limits, by requests and by plugins. */
export class ContainerLimits {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /**
   * Changes limits as a request wants it and plugins alter it; omitted ones stay.
   * @throws CriError NOT_FOUND, FAILED_PRECONDITION for an exited container or a limit that the machine does not support; as
   *   plugins refuse it, and as the changes of other containers that they want fail.
   */
  async update(id: string, update: ResourceLimits): Promise<void> {
    const { plugins } = this.#parts;
    const { updated, others } = await this.#run(id, (record) =>
      plugins.amid(async () => {
        const { limits, ...changes } = await plugins.updating(record, update);
        return { updated: await this.#set(record, limits), others: changes };
      }),
    );
    await plugins.updated(updated);
    await plugins.apply(others);
  }

  /** The same without asking plugins: one of them wants it. Waits for a container that is being created. */
  async set(id: string, limits: ResourceLimits): Promise<void> {
    await this.#run(id, (record) => this.#set(record, limits));
  }

  /** Does what a plugin asks for at any time. @returns the ids of the containers whose update failed, and counts. */
  async change(changes: OtherChanges): Promise<string[]> {
    return (await this.#parts.plugins.attempt(changes)).map(({ change }) => change.containerId);
  }

  async #run<T>(id: string, task: (record: ContainerRecord) => Promise<T>): Promise<T> {
    const { store, locks } = this.#parts;
    if (store.get(id) === undefined) throw notFound('container', id);
    return locks.run(id, () => {
      const record = store.get(id);
      if (record === undefined || record.phase === 'creating') throw notFound('container', id);
      if (record.phase === 'exited')
        throw failedPrecondition(`container ${id} has exited; its limits cannot be changed`);
      return task(record);
    });
  }

  async #set(record: ContainerRecord, limits: ResourceLimits): Promise<ContainerRecord> {
    const { pods, store } = this.#parts;
    const { runner, platform } = pods.backendOf(record.sandboxId);
    const resources = mergeLimits(record.spec.resources, limits);
    await runner.update(record.id, limitsUpdate(limits, resources, platform.facts));
    const updated = { ...record, spec: { ...record.spec, resources } };
    await store.put(updated);
    return updated;
  }
}
