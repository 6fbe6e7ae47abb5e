import type { ContainerRecord } from '../../model/container.ts';
import { CriError, StatusCode } from '../../model/errors.ts';
import type { Logger } from '../../model/logger.ts';
import type { LimitsChange, OtherChanges, PluginContainer, PluginPod, Plugins } from '../../model/plugins.ts';
import type { ResourceLimits } from '../../model/resources.ts';
import { messageOf } from '../../../utils/errors.ts';
import type { PodService } from '../pods/pod-service.ts';

/** Seconds from the stop signal of a container that a plugin evicts to its end. */
const EVICTION_SECONDS = 10n;
const NOTHING: OtherChanges = { updates: [], evictions: [] };

export interface ContainerPluginsOptions {
  plugins: Plugins;
  pods: PodService;
  logger: Logger;
}

/** What plugins may do to a container. */
interface Changes {
  setLimits: (id: string, limits: ResourceLimits) => Promise<void>;
  stop: (id: string, timeoutSeconds: bigint) => Promise<void>;
}

/** Tells plugins of the life of containers, and does what they ask for. */
export class ContainerPlugins {
  readonly #options: ContainerPluginsOptions;
  readonly #changes: Changes;

  constructor(options: ContainerPluginsOptions, changes: Changes) {
    this.#options = options;
    this.#changes = changes;
  }

  /** See {@link Plugins.amid}. */
  amid<T>(change: () => Promise<T>): Promise<T> {
    return this.#options.plugins.amid(change);
  }

  /** Before StartContainer. @throws CriError when a plugin refuses it. */
  async starting(record: ContainerRecord): Promise<void> {
    await this.#tell(record, (plugins, pod, container) => plugins.startContainer(pod, container));
  }

  async started(record: ContainerRecord): Promise<void> {
    await this.#tell(record, (plugins, pod, container) => plugins.containerStarted(pod, container));
  }

  /** Before UpdateContainerResources. @returns what to do. @throws CriError when a plugin refuses it. */
  async updating(record: ContainerRecord, limits: ResourceLimits): Promise<OtherChanges & { limits: ResourceLimits }> {
    const told = await this.#tell(record, (plugins, pod, container) => plugins.updateContainer(pod, container, limits));
    return told ?? { ...NOTHING, limits };
  }

  async updated(record: ContainerRecord): Promise<void> {
    await this.#tell(record, (plugins, pod, container) => plugins.containerUpdated(pod, container));
  }

  /**
   * After the exit of a container. What plugins change then is done later: the caller has the container's lock.
   */
  async stopped(record: ContainerRecord): Promise<void> {
    const told = await this.#tell(record, (plugins, pod, container) => plugins.containerStopped(pod, container));
    if (told === undefined) return;
    this.apply(told).catch((error: unknown) => {
      this.#options.logger.warn('Changes of a plugin failed', { error: messageOf(error) });
    });
  }

  /** Runs `wait` where somebody has to be told: for exits that have been recorded and not been told yet. */
  async settled(wait: () => Promise<unknown>): Promise<void> {
    if (!this.#options.plugins.isIdle) await wait();
  }

  /** Before a removal, which takes the configuration away. Returns what tells plugins of it afterwards. */
  async removing(record: ContainerRecord): Promise<() => Promise<void>> {
    const { plugins, pods } = this.#options;
    const pod = plugins.isIdle ? undefined : pods.forPlugins(record.sandboxId);
    if (pod === undefined) return () => Promise.resolve();
    const spec = await pod.backend.runner.spec(record.id);
    return () => plugins.containerRemoved(pod, { record, spec: () => Promise.resolve(spec) });
  }

  /** Does what plugins ask for. @throws CriError naming the changes of limits that failed and whose failure counts. */
  async apply(changes: OtherChanges): Promise<void> {
    const failed = await this.attempt(changes);
    const [first] = failed;
    if (first === undefined) return;
    const { change, error } = first;
    const code = error instanceof CriError ? error.code : StatusCode.UNKNOWN;
    throw new CriError(code, `a plugin's update of container ${change.containerId}: ${messageOf(error)}`);
  }

  /** The same, and returns the changes of limits that failed and whose failure counts. */
  async attempt({ updates, evictions }: OtherChanges): Promise<{ change: LimitsChange; error: unknown }[]> {
    const { logger } = this.#options;
    const failed: { change: LimitsChange; error: unknown }[] = [];
    for (const change of updates) {
      const { containerId, limits, ignoreFailure } = change;
      try {
        await this.#changes.setLimits(containerId, limits);
      } catch (error) {
        logger.warn('Update of a plugin failed', { containerId, ignoreFailure, error: messageOf(error) });
        if (!ignoreFailure) failed.push({ change, error });
      }
    }
    for (const { containerId, reason } of evictions) {
      logger.info('Container evicted by a plugin', { containerId, reason });
      this.#changes.stop(containerId, EVICTION_SECONDS).catch((error: unknown) => {
        logger.error('Eviction by a plugin failed', { containerId, error: messageOf(error) });
      });
    }
    return failed;
  }

  /** Calls plugins about a container; undefined when nobody has to be told, or its pod is unknown. */
  async #tell<T>(
    record: ContainerRecord,
    call: (plugins: Plugins, pod: PluginPod, container: PluginContainer) => Promise<T>,
  ): Promise<T | undefined> {
    const { plugins, pods } = this.#options;
    if (plugins.isIdle) return undefined;
    const pod = pods.forPlugins(record.sandboxId);
    if (pod === undefined) return undefined;
    return call(plugins, pod, { record, spec: () => pod.backend.runner.spec(record.id) });
  }
}
