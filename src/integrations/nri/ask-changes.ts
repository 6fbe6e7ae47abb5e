import { LinuxResources } from '../../../api/gen/nri.ts';
import type { ContainerEviction, ContainerUpdate, Event } from '../../../api/gen/nri.ts';
import { unknown } from '../../core/model/errors.ts';
import type { OtherChanges } from '../../core/model/plugins.ts';
import { collectResources } from './adjust/collect-resources.ts';
import { Owners } from './adjust/owners.ts';
import type { About, PluginList } from './plugin-list.ts';
import { toChanges } from './updates.ts';
import type { Method } from './wire/methods.ts';

/** What plugins want to change about containers that exist. */
interface Wanted {
  update: ContainerUpdate[];
  evict?: ContainerEviction[];
}

/** Collects the updates of plugins by container; none may change what another one does. */
export class UpdateCollector {
  readonly #owners: Owners;
  readonly #resources = new Map<string, LinuxResources>();
  readonly #counting = new Set<string>();
  readonly #evictions: OtherChanges['evictions'] = [];

  constructor(owners: Owners) {
    this.#owners = owners;
  }

  /**
   * Adds what a plugin wants. @param creating id of a container that is being created, which cannot be updated.
   * @throws CriError for a conflict, and for limits that this server does not have, unless their failure is ignored.
   */
  add(plugin: string, { update, evict = [] }: Wanted, creating = ''): void {
    for (const one of update) {
      const { containerId, linux, ignoreFailure } = one;
      if (containerId === creating) throw unknown(`NRI plugin ${plugin} updates the container that it adjusts`);
      const resources = this.#resources.get(containerId) ?? LinuxResources.create({});
      try {
        toChanges(plugin, { update: [one], evict: [] });
        collectResources(linux?.resources, [resources], this.#owners, { containerId, plugin });
      } catch (error) {
        if (!ignoreFailure) throw error;
        continue;
      }
      this.#resources.set(containerId, resources);
      if (!ignoreFailure) this.#counting.add(containerId);
    }
    this.#evictions.push(...toChanges(plugin, { update: [], evict }).evictions);
  }

  /** The same as messages. */
  get updates(): ContainerUpdate[] {
    return [...this.#resources].map(([containerId, resources]) => ({
      containerId,
      linux: { resources },
      ignoreFailure: !this.#counting.has(containerId),
    }));
  }

  get changes(): OtherChanges {
    return { ...toChanges('', { update: this.updates, evict: [] }), evictions: this.#evictions };
  }
}

/**
 * Asks every plugin about an event of a container that exists. Called within `PluginList.run`.
 * @throws CriError when a plugin refuses it, when two want the same, and for what is not supported.
 */
export async function askForChanges<Q extends About, R extends Wanted>(
  list: PluginList,
  event: Event,
  method: Method<Q, R>,
  request: Q,
): Promise<OtherChanges> {
  const collector = new UpdateCollector(new Owners());
  for (const plugin of list.plugins) {
    const response = await list.ask(plugin, event, method, request);
    if (response !== undefined) collector.add(plugin.name, response);
  }
  return collector.changes;
}
