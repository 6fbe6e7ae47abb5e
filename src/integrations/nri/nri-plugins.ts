import type { Duplex } from 'node:stream';
import { Event, PluginService } from '../../../api/gen/nri.ts';
import type { ContainerUpdate, UpdateContainersRequest, UpdateContainersResponse } from '../../../api/gen/nri.ts';
import type { ContainerRecord } from '../../core/model/container.ts';
import { failedPrecondition } from '../../core/model/errors.ts';
import type { Logger } from '../../core/model/logger.ts';
import type { OciSpec } from '../../core/model/oci-runtime.ts';
import type {
  ContainerChange,
  OtherChanges,
  PluginContainer,
  PluginHost,
  PluginPod,
  Plugins,
  PodUpdate,
} from '../../core/model/plugins.ts';
import { mergeLimits } from '../../core/model/resources.ts';
import type { ResourceLimits } from '../../core/model/resources.ts';
import { messageOf } from '../../utils/errors.ts';
import type { RuntimeVersion } from './adjust/supported.ts';
import { askForChanges } from './ask-changes.ts';
import { askToCreate } from './ask-create.ts';
import type { ValidatorRules } from './default-validator.ts';
import { toContainer } from './map/container.ts';
import { toPodSandbox } from './map/pod.ts';
import { toLinuxResources } from './map/resources.ts';
import { fullName, PluginConnection } from './plugin-connection.ts';
import type { PluginName } from './plugin-connection.ts';
import { PluginList } from './plugin-list.ts';
import { QuietTime } from './quiet-time.ts';
import { synchronize } from './synchronize.ts';
import { toChanges } from './updates.ts';

/** The version of NRI whose calls and messages this is. */
const NRI_VERSION = 'v0.12.5';

export interface NriPluginsOptions {
  /** Milliseconds for each step of a plugin's start: to register, to be configured, to be synchronized. */
  registrationTimeoutMs: number;
  /** Milliseconds for each later call. */
  requestTimeoutMs: number;
  validator: ValidatorRules;
  /** Version of this program. */
  version: string;
  /** The OCI runtime that containers run with. */
  ociRuntime: () => Promise<RuntimeVersion>;
  logger: Logger;
  /** Called for each plugin that disconnects. */
  onLost?: () => void;
}

/** Plugins of the Node Resource Interface. None is there before {@link connect}. */
export class NriPlugins implements Plugins {
  readonly #options: NriPluginsOptions;
  readonly #list: PluginList;
  readonly #changes = new QuietTime();

  constructor(options: NriPluginsOptions) {
    this.#options = options;
    this.#list = new PluginList(options.requestTimeoutMs, options.logger, options.onLost);
  }

  /** Plugins connected. */
  get count(): number {
    return this.#list.plugins.length;
  }

  get isIdle(): boolean {
    return this.#list.isEmpty && !this.#options.validator.enable;
  }

  amid<T>(change: () => Promise<T>): Promise<T> {
    return this.#changes.change(change);
  }

  runPod(pod: PluginPod): Promise<void> {
    return this.#list.tell(Event.RUN_POD_SANDBOX, PluginService.runPodSandbox, () => aboutPod(pod));
  }

  updatePod(pod: PluginPod, { overhead, resources }: PodUpdate): Promise<void> {
    return this.#list.tell(Event.UPDATE_POD_SANDBOX, PluginService.updatePodSandbox, () =>
      Promise.resolve({
        pod: toPodSandbox(pod),
        overheadLinuxResources: overhead && toLinuxResources(overhead),
        linuxResources: resources && toLinuxResources(resources),
      }),
    );
  }

  podUpdated(pod: PluginPod): Promise<void> {
    return this.#list.report(Event.POST_UPDATE_POD_SANDBOX, PluginService.postUpdatePodSandbox, () => aboutPod(pod));
  }

  podStopped(pod: PluginPod): Promise<void> {
    return this.#list.report(Event.STOP_POD_SANDBOX, PluginService.stopPodSandbox, () => aboutPod(pod));
  }

  podRemoved(pod: PluginPod): Promise<void> {
    return this.#list.report(Event.REMOVE_POD_SANDBOX, PluginService.removePodSandbox, () => aboutPod(pod));
  }

  createContainer(pod: PluginPod, container: ContainerRecord, spec: OciSpec): Promise<ContainerChange> {
    return this.#list.run(() => askToCreate(this.#list, this.#options, pod, container, spec));
  }

  containerCreated(pod: PluginPod, container: PluginContainer): Promise<void> {
    const { postCreateContainer } = PluginService;
    return this.#list.report(Event.POST_CREATE_CONTAINER, postCreateContainer, () => about(pod, container));
  }

  startContainer(pod: PluginPod, container: PluginContainer): Promise<void> {
    return this.#list.tell(Event.START_CONTAINER, PluginService.startContainer, () => about(pod, container));
  }

  containerStarted(pod: PluginPod, container: PluginContainer): Promise<void> {
    const { postStartContainer } = PluginService;
    return this.#list.report(Event.POST_START_CONTAINER, postStartContainer, () => about(pod, container));
  }

  updateContainer(
    pod: PluginPod,
    container: PluginContainer,
    limits: ResourceLimits,
  ): Promise<OtherChanges & { limits: ResourceLimits }> {
    return this.#list.run(async () => {
      const request = { ...(await about(pod, container)), linuxResources: toLinuxResources(limits) };
      const changes = await askForChanges(this.#list, Event.UPDATE_CONTAINER, PluginService.updateContainer, request);
      const own = changes.updates.filter(({ containerId }) => containerId === container.record.id);
      const updates = changes.updates.filter((update) => !own.includes(update));
      return { ...changes, updates, limits: own.reduce((held, one) => mergeLimits(held, one.limits), limits) };
    });
  }

  containerUpdated(pod: PluginPod, container: PluginContainer): Promise<void> {
    const { postUpdateContainer } = PluginService;
    return this.#list.report(Event.POST_UPDATE_CONTAINER, postUpdateContainer, () => about(pod, container));
  }

  containerStopped(pod: PluginPod, container: PluginContainer): Promise<OtherChanges> {
    return this.#list.run(async () => {
      try {
        const request = await about(pod, container);
        return await askForChanges(this.#list, Event.STOP_CONTAINER, PluginService.stopContainer, request);
      } catch (error) {
        const fields = { containerId: container.record.id, error: messageOf(error) };
        this.#options.logger.warn('Event not delivered to all NRI plugins', { event: 'STOP_CONTAINER', ...fields });
        return { updates: [], evictions: [] };
      }
    });
  }

  containerRemoved(pod: PluginPod, container: PluginContainer): Promise<void> {
    return this.#list.report(Event.REMOVE_CONTAINER, PluginService.removeContainer, () => about(pod, container));
  }

  /**
   * Takes a plugin through its start, and calls it from then on until it ends. Never fails: what goes wrong is logged, and ends the
   * connection.
   * @param known its name and configuration, when this server has started it.
   */
  async connect(trunk: Duplex, host: PluginHost, known?: PluginName & { configuration: string }): Promise<void> {
    const { logger, registrationTimeoutMs } = this.#options;
    let isReady = false;
    const plugin: PluginConnection = new PluginConnection(trunk, known, (request) => {
      if (!isReady) throw failedPrecondition('the plugin is not synchronized yet');
      return this.#update(plugin, host, request);
    });
    try {
      await plugin.registered(registrationTimeoutMs);
      await this.#configure(plugin, known?.configuration ?? '');
      const changes = await this.#synchronize(plugin, host);
      isReady = true;
      logger.info('NRI plugin connected', { plugin: plugin.name });
      await host.change(changes);
    } catch (error) {
      const name = known === undefined ? plugin.name : fullName(known);
      logger.error('NRI plugin refused', { plugin: name, error: messageOf(error) });
      plugin.end(messageOf(error));
    }
  }

  /** Disconnects every plugin. */
  end(): void {
    for (const plugin of this.#list.plugins) plugin.end('the server is shutting down');
  }

  #configure(plugin: PluginConnection, config: string): Promise<void> {
    const { registrationTimeoutMs, requestTimeoutMs, version } = this.#options;
    const request = {
      config,
      runtimeName: 'proxmox-lxcri',
      runtimeVersion: version,
      registrationTimeout: BigInt(Math.round(registrationTimeoutMs)),
      requestTimeout: BigInt(Math.round(requestTimeoutMs)),
      NRIVersion: NRI_VERSION,
    };
    return plugin.configure(request, registrationTimeoutMs);
  }

  /** Nothing changes amid it, and no event is sent, so that the plugin hears of every change after it. */
  #synchronize(plugin: PluginConnection, host: PluginHost): Promise<OtherChanges> {
    const { registrationTimeoutMs } = this.#options;
    return this.#changes.quiet(registrationTimeoutMs, () =>
      this.#list.run(async () => {
        const containers = await Promise.all(
          host.containers().map(async ({ record, spec }) => toContainer(record, await spec())),
        );
        const pods = host.pods().map(toPodSandbox);
        const updates = await synchronize(plugin, pods, containers, registrationTimeoutMs);
        this.#list.add(plugin);
        return this.#possible(plugin, { update: updates, evict: [] }).changes;
      }),
    );
  }

  async #update(
    plugin: PluginConnection,
    host: PluginHost,
    { update, evict }: UpdateContainersRequest,
  ): Promise<UpdateContainersResponse> {
    const { changes, impossible } = this.#possible(plugin, { update, evict });
    const failed = new Set(await host.change(changes));
    return { failed: [...impossible, ...update.filter(({ containerId }) => failed.has(containerId))] };
  }

  /** The changes that this server can make, and those that it cannot and whose failure counts; these are logged. */
  #possible(
    plugin: PluginConnection,
    { update, evict }: UpdateContainersRequest,
  ): { changes: OtherChanges; impossible: ContainerUpdate[] } {
    const changes = toChanges(plugin.name, { update: [], evict });
    const impossible: ContainerUpdate[] = [];
    for (const one of update) {
      try {
        changes.updates.push(...toChanges(plugin.name, { update: [one], evict: [] }).updates);
      } catch (error) {
        this.#options.logger.warn('Update of a plugin failed', {
          containerId: one.containerId,
          error: messageOf(error),
        });
        if (!one.ignoreFailure) impossible.push(one);
      }
    }
    return { changes, impossible };
  }
}

function aboutPod(pod: PluginPod) {
  return Promise.resolve({ pod: toPodSandbox(pod) });
}

async function about(pod: PluginPod, { record, spec }: PluginContainer) {
  return { pod: toPodSandbox(pod), container: toContainer(record, await spec()) };
}
