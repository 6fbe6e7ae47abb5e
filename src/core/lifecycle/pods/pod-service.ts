import { isDeepStrictEqual } from 'node:util';
import { KeyedLock } from '../../../utils/async/keyed-lock.ts';
import { Rollback } from '../../../utils/async/rollback.ts';
import type { Backend } from '../../model/backend.ts';
import type { ContainerStreams } from '../../model/container-runner.ts';
import { failedPrecondition, unimplemented } from '../../model/errors.ts';
import { messageOf } from '../../../utils/errors.ts';
import { defined } from '../../../utils/object.ts';
import type { Logger } from '../../model/logger.ts';
import type { PluginPod, PodUpdate } from '../../model/plugins.ts';
import type { PodSpec } from '../../model/pod-spec.ts';
import type { SandboxUsage } from '../../model/resource-usage.ts';
import { mergeLimits } from '../../model/resources.ts';
import { BY_REQUEST, type HandlerChoice } from '../../model/routing.ts';
import type { SandboxRecord } from '../../model/sandbox.ts';
import type { Placement } from '../../model/sandbox-provider.ts';
import { findById, newId } from '../ids.ts';
import { withoutId } from '../without-id.ts';
import { createPod } from './create-pod.ts';
import { EarlierBoots } from './earlier-boots.ts';
import { PodActivity } from './pod-activity.ts';
import { keepNetworks } from './network-upkeep.ts';
import { Retries } from '../retries.ts';
import type { PodServiceOptions } from './pod-options.ts';
import { PodStore } from './pod-store.ts';
import { adoptPods, endLostPods, removeOrphanedPods, settlePod, settlePods } from './recover-pods.ts';
import type { RecoveryParts } from './recover-pods.ts';
import { podName } from './sandbox-record.ts';
import { releaseNetwork } from './release-network.ts';
import { checkUserNamespace } from './start-sandbox.ts';

/** A running pod, as containers are placed in it. */
export interface ReadyPod {
  record: SandboxRecord;
  placement: Placement;
  backend: Backend;
}

/** The life cycle of pod sandboxes: run, stop, remove, find, and adopt after a restart. */
export class PodService {
  readonly #options: PodServiceOptions;
  readonly #store: PodStore;
  readonly #locks = new KeyedLock();
  readonly #activity: PodActivity;
  readonly #logger: Logger;
  readonly #stopRetries: Retries;
  readonly #orphanRetries: Retries;
  readonly #earlierBoots: EarlierBoots;
  /** Pods whose stop has begun, and whose containers have not ended yet, for plugins. */
  readonly #ending = new Map<string, PluginPod>();
  /** Pods of an earlier process that are not running. */
  #unsettled: readonly string[] = [];

  constructor(options: PodServiceOptions) {
    this.#options = options;
    this.#logger = options.logger;
    this.#store = new PodStore(options);
    this.#activity = new PodActivity(options.events);
    this.#stopRetries = new Retries((id) => this.stop(id), options);
    this.#orphanRetries = new Retries(() => this.removeOrphans(), options);
    this.#earlierBoots = new EarlierBoots({
      ...options,
      records: this.#store.records,
      backends: this.#store.backends,
      reference: (record) => this.#store.reference(record),
      exclusive: (id, task) => this.#locks.run(id, task),
    });
    for (const { sandboxes } of options.backends) sandboxes.onExit((id, reason) => void this.#ended(id, reason));
  }

  /** Visible pods: those whose RunPodSandbox has finished. */
  list(): SandboxRecord[] {
    return this.#store.records.list().filter((record) => record.phase !== 'creating');
  }

  /** @throws CriError NOT_FOUND, INVALID_ARGUMENT for an ambiguous prefix. */
  get(id: string): SandboxRecord {
    return findById('pod sandbox', this.list(), id);
  }

  /** Runs `task` while no other step of this pod runs. */
  exclusive<T>(sandboxId: string, task: () => Promise<T>): Promise<T> {
    return this.#locks.run(sandboxId, task);
  }

  /** The pod with everything a container needs of it. @throws CriError NOT_FOUND, FAILED_PRECONDITION when it is not READY. */
  ready(id: string): ReadyPod {
    const record = this.get(id);
    const status = this.#store.status(record);
    if (status.state !== 'running') {
      throw failedPrecondition(
        `pod sandbox ${record.id} is not ready (${status.reason}); containers cannot be created or started`,
      );
    }
    return { record, placement: status.placement, backend: this.#store.backend(record.handler) };
  }

  /**
   * Connections to ports of a READY pod, for a client that comes later (CRI PortForward).
   * @throws CriError NOT_FOUND, FAILED_PRECONDITION.
   */
  forwardPorts(id: string): (port: number, io: ContainerStreams, signal: AbortSignal) => Promise<void> {
    const { record } = this.ready(id);
    return async (port, io, signal) => {
      const { backend, placement } = this.ready(record.id);
      await backend.runner.forwardPort(placement, port, io, signal);
    };
  }

  /** Verbose information of the provider about a pod. */
  async describe(record: SandboxRecord): Promise<Record<string, unknown>> {
    return this.#store.backends.get(record.handler)?.sandboxes.describe(this.#store.reference(record)) ?? {};
  }

  /** The usage of a whole pod; undefined when it does not run. @throws CriError UNAVAILABLE. */
  async usage(record: SandboxRecord): Promise<SandboxUsage | undefined> {
    if (this.#store.status(record).state !== 'running') return undefined;
    return this.#store.provider(record.handler).usage(this.#store.reference(record));
  }

  /**
   * The backend of a pod, also of one that has ended. A pod without a record, whose file was lost, is assumed to be the
   * default handler's. @throws CriError INVALID_ARGUMENT when its handler is not configured any more.
   */
  backendOf(sandboxId: string): Backend {
    return this.#store.backend(this.#store.records.get(sandboxId)?.handler ?? this.#options.defaultHandler);
  }

  /** A pod with its backend for plugins, also of one that has ended; undefined when there is no record of it. */
  forPlugins(sandboxId: string): (PluginPod & { backend: Backend }) | undefined {
    const record = this.#store.records.get(sandboxId);
    return record && { ...this.#store.forPlugins(record), backend: this.#store.backend(record.handler) };
  }

  /** Every backend. */
  backends(): readonly Backend[] {
    return this.#options.backends;
  }

  /**
   * Creates and starts a pod (CRI RunPodSandbox) and returns its id. A repeat of a request that succeeded, or is still
   * in progress, returns the first attempt's pod. When it fails, or its caller disconnects or its deadline passes
   * first, everything is rolled back; a repeat then creates another pod after that.
   * @param choice the handler. A pod that was created keeps its own, unless a repeat of the request names another.
   * @param request recorded for its parser; two requests are the same when these are equal.
   * @param signal cancels what the pod waits for.
   * @throws CriError INVALID_ARGUMENT for an unknown handler, UNIMPLEMENTED, ALREADY_EXISTS, UNAVAILABLE; the signal's
   * reason.
   */
  async run(spec: PodSpec, request: unknown, choice: HandlerChoice, signal?: AbortSignal): Promise<string> {
    const { sandboxes: provider, platform } = this.#store.backend(choice.handler);
    const name = podName(spec.metadata);
    const work = async () => {
      signal?.throwIfAborted();
      const earlier = this.#store.names.owner(name);
      const existing = earlier === undefined ? undefined : this.#store.records.get(earlier);
      if (
        existing?.phase === 'ready' &&
        (existing.handler === provider.handler || choice.chosenBy !== BY_REQUEST) &&
        isDeepStrictEqual(existing.request, request)
      ) {
        return existing.id;
      }
      if (spec.selinux !== undefined && platform.facts.selinux)
        throw unimplemented('config.linux.security_context.selinux_options: SELinux');
      await checkUserNamespace(spec, platform);
      // Its creation was interrupted, since this name is locked: complete the recovery of this pod first.
      if (existing?.phase === 'creating') await settlePod(existing.id, this.#recovery());
      const id = newId();
      this.#store.names.reserve(name, id);
      const record: SandboxRecord = {
        id,
        handler: provider.handler,
        handlerChosenBy: choice.chosenBy,
        spec,
        request,
        phase: 'creating',
        createdAt: this.#options.clock.now(),
        bootId: platform.facts.bootId,
      };
      const rollback = new Rollback();
      const left: string[] = [];
      // Record and name are deleted last, and only when they are no longer needed.
      rollback.add('delete the record', async () => {
        if (left.length > 0) return;
        await this.#store.records.delete(id);
        this.#store.names.release(id);
      });
      try {
        await this.#locks.run(id, () => createPod(this.#store, record, rollback, signal));
      } catch (error) {
        const isCut = signal?.aborted === true;
        await rollback.run((what, failure) => {
          left.push(what);
          this.#logger.error('RunPodSandbox rollback step failed', {
            podSandboxId: id,
            what,
            error: messageOf(failure),
          });
        });
        if (left.length > 0) await this.#leave(id);
        throw isCut ? signal.reason : withoutId(error, id);
      }
      this.#store.publish('created', id);
      this.#store.publish('started', id);
      return id;
    };
    return this.#activity.during(() => this.#locks.run(`name:${name}`, work));
  }

  /** A pod that cannot be removed yet: listed as NOTREADY, so that the kubelet removes it, and retried here as well. */
  async #leave(id: string): Promise<void> {
    const record = this.#store.records.get(id);
    if (record === undefined) return this.#store.names.release(id);
    await this.#store.records.settle({ ...record, phase: 'stopped' });
    this.#stopRetries.schedule(id);
  }

  /**
   * Kills every container of the pod and releases its network and namespaces (CRI StopPodSandbox). No error when it was stopped
   * before or does not exist.
   */
  async stop(id: string): Promise<void> {
    const record = this.#store.find(id);
    if (record === undefined) return;
    await this.#activity.during(() => this.#locks.run(record.id, () => this.#stop(record.id)));
  }

  async #stop(id: string): Promise<void> {
    const record = this.#store.records.get(id);
    if (record === undefined) return;
    const wasReady = record.phase === 'ready';
    // First: a partly stopped pod must never be adopted as READY.
    const { plugins } = this.#store;
    if (wasReady) this.#ending.set(id, this.#store.forPlugins(record));
    // The record of a pod that ends with the boot need not outlive it.
    const provider = this.#store.provider(record.handler);
    const [stopping, { records }] = [{ ...record, phase: 'stopped' } as const, this.#store];
    if (wasReady) await (provider.release === undefined ? records.draft(stopping) : records.settle(stopping));
    const sandbox = this.#store.reference(record);
    try {
      await this.#options.events.step('ending', id);
      const ending = this.#ending.get(id);
      if (this.#ending.delete(id) && ending !== undefined) await plugins.podStopped(ending);
      const backend = this.#store.backend(record.handler);
      await releaseNetwork(backend, record, sandbox);
      await provider.stop(sandbox);
      await backend.platform.podDirectories.unmountFiles(id);
    } catch (error) {
      await this.#leave(id);
      if (wasReady) this.#store.publish('stopped', id);
      throw error;
    }
    if (!wasReady && record.network === undefined) return;
    // An interrupted creation stays one until its record is removed, so that an interrupted removal is completed.
    const stopped: SandboxRecord = { ...record, phase: record.phase === 'creating' ? 'creating' : 'stopped' };
    // The status of a stopped pod has the addresses only until they are released.
    delete stopped.network;
    await this.#store.records.settle(stopped);
    if (wasReady) this.#store.publish('stopped', id);
  }

  /**
   * Sets the limits of the whole pod at its provider (CRI UpdatePodSandboxResources), then records them.
   * @throws CriError NOT_FOUND, FAILED_PRECONDITION when the pod is not READY, as the provider.
   */
  async updateResources(id: string, told: PodUpdate): Promise<void> {
    const { id: fullId } = this.get(id);
    await this.#locks.run(fullId, async () => {
      const { record, placement } = this.ready(fullId);
      const { plugins } = this.#store;
      const spec = { ...record.spec };
      for (const key of ['overhead', 'resources'] as const) {
        const update = told[key];
        if (update !== undefined) spec[key] = mergeLimits(spec[key], update);
      }
      const { overhead, resources } = spec;
      const sandbox = this.#store.reference(record);
      const updated = { ...record, spec };
      await plugins.amid(async () => {
        await plugins.updatePod({ record, placement }, told);
        await this.#store.provider(record.handler).update(sandbox, defined({ overhead, resources }));
        await this.#store.records.put(updated);
      });
      await plugins.podUpdated({ record: updated, placement });
    });
  }

  /** Removes the pod with all its containers, stopping it first (CRI RemovePodSandbox). No error when it does not exist. */
  async remove(id: string): Promise<void> {
    const record = this.#store.find(id);
    if (record === undefined) return;
    await this.#locks.run(record.id, async () => {
      if (this.#store.records.get(record.id) === undefined) return;
      await this.#remove(record.id);
      this.#ending.delete(record.id);
      const removed: SandboxRecord = { ...record, phase: 'stopped' };
      this.#store.publish('deleted', record.id, removed);
      await this.#store.plugins.podRemoved({ record: removed, placement: undefined });
    });
  }

  async #remove(id: string): Promise<void> {
    await this.#stop(id);
    await this.#options.events.step('removing', id);
    const record = this.#store.records.get(id);
    if (record === undefined) return;
    await this.#store.provider(record.handler).remove(this.#store.reference(record));
    await this.#store.backend(record.handler).platform.podDirectories.remove(id);
    await this.#store.records.delete(id);
    this.#store.names.release(id);
  }

  /**
   * Adopts the pods of an earlier process that still run; {@link recover} and {@link settle} reconcile the others.
   * Containers are recovered by their own service in between: `load`, then containers, then `recover`.
   */
  async load(): Promise<void> {
    await this.#store.load();
    await adoptPods(this.#recovery());
  }

  /**
   * Maintains the networks of the pods and the pools until `signal` fires, and retries failed stops until then. Called once, after
   * {@link recover}.
   */
  async keep(signal: AbortSignal): Promise<void> {
    this.#stopRetries.start(signal);
    this.#orphanRetries.start(signal);
    this.#earlierBoots.keep(signal);
    const shared = { ...this.#options, activity: this.#activity, status: this.#store.status.bind(this.#store) };
    const networks = new Set([...this.#store.backends.values()].map(({ network }) => network));
    const pools = [...this.#store.backends.values()].map(({ sandboxes }) => sandboxes.warmPool?.keep(signal));
    await Promise.all([
      ...pools,
      ...[...networks].map((network) => {
        const allRecords = () => this.#store.records.list();
        const ofNetwork = ({ handler }: SandboxRecord) => this.#store.backends.get(handler)?.network === network;
        const records = () => allRecords().filter(ofNetwork);
        return keepNetworks({ ...shared, network, records, allRecords }, signal);
      }),
    ]);
  }

  /**
   * The second half of adopting, after {@link load}: pods that do not run any more are NOTREADY from now on. It stops
   * nothing and calls no plugin: {@link settle} does. Guests of pods of an earlier boot are removed, as far as that is soon done.
   */
  async recover(): Promise<void> {
    this.#unsettled = await endLostPods(this.#recovery());
    await this.#earlierBoots.release();
  }

  /**
   * Completes what {@link recover} found interrupted, and removes orphans; what fails is retried. Runs while the server
   * serves: a CNI plugin may take minutes, and may itself need a pod.
   */
  async settle(): Promise<void> {
    await settlePods(this.#unsettled, this.#recovery());
    await this.removeOrphans().catch(() => {
      this.#orphanRetries.schedule('orphaned pods');
    });
  }

  /** Removes sandboxes without a record. @throws Error that names those that are left, and why. */
  async removeOrphans(): Promise<void> {
    const left = [...(await removeOrphanedPods(this.#recovery()))];
    if (left.length === 0) return;
    const reasons = left.map(([id, reason]) => `${id}: ${reason}`);
    throw new Error(`${String(left.length)} orphaned pods could not be removed: ${reasons.join('; ')}`);
  }

  #recovery(): RecoveryParts {
    return {
      records: this.#store.records,
      backends: this.#store.backends,
      reference: (record) => this.#store.reference(record),
      isRunning: (record) => this.#store.status(record).state === 'running',
      stop: (id) => this.stop(id),
      removeHalf: (id) => this.#locks.run(id, () => this.#remove(id)),
      leave: (id) => this.#leave(id),
      ended: (id) => this.#store.publish('stopped', id),
      events: this.#options.events,
      logger: this.#logger,
    };
  }

  /** A sandbox ended by itself or by another program. */
  async #ended(id: string, reason: string): Promise<void> {
    try {
      if (this.#store.records.get(id)?.phase !== 'ready') return;
      this.#logger.warn('Pod ended without StopPodSandbox', { podSandboxId: id, reason });
      await this.stop(id);
    } catch (error) {
      this.#logger.error('Cleaning up an ended pod failed', { podSandboxId: id, error: messageOf(error) });
    }
  }
}
