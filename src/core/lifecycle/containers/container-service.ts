import { isDeepStrictEqual } from 'node:util';
import { runLocked } from '../../../utils/async/abortable.ts';
import { forEach } from '../../../utils/async/for-each.ts';
import { KeyedLock } from '../../../utils/async/keyed-lock.ts';
import { Rollback } from '../../../utils/async/rollback.ts';
import type { Backend } from '../../model/backend.ts';
import type { Clock } from '../../model/clock.ts';
import type { ContainerRecord } from '../../model/container.ts';
import type { ContainerSpec } from '../../model/container-spec.ts';
import type { ContainerRunner } from '../../model/container-runner.ts';
import { CriError, StatusCode, failedPrecondition, invalidArgument } from '../../model/errors.ts';
import { messageOf } from '../../../utils/errors.ts';
import type { ImageRecord } from '../../model/image.ts';
import type { Logger } from '../../model/logger.ts';
import type { OciSpec } from '../../model/oci-runtime.ts';
import type { Plugins } from '../../model/plugins.ts';
import type { ResourceLimits } from '../../model/resources.ts';
import type { Rlimit } from '../../model/rlimits.ts';
import type { Usage } from '../../model/rootfs.ts';
import type { EventHub } from '../events/event-hub.ts';
import { findById, lookupById, newId } from '../ids.ts';
import { limitedResources } from '../oci/resources.ts';
import type { PodService } from '../pods/pod-service.ts';
import type { RecordsPlace } from '../records/record-store.ts';
import { needPlace, removeRootfs, storeNameOf } from '../rootfs-place.ts';
import type { RootfsStores } from '../rootfs-stores.ts';
import { Retries } from '../retries.ts';
import { removeVolumes } from '../volumes/container-volumes.ts';
import { removeUnneededVolumes } from '../volumes/unneeded-volumes.ts';
import { volumePlace } from '../volumes/volume-place.ts';
import { withoutId } from '../without-id.ts';
import { ContainerStore, containerName } from './container-store.ts';
import type { StoredContainer } from './container-record.ts';
import { createContainer } from './create-container.ts';
import { ContainerLimits } from './container-limits.ts';
import { ContainerPlugins } from './container-plugins.ts';
import { removeImageVolumes } from './image-volumes.ts';
import { notBefore, startFailed } from './outcome.ts';
import { findLeftovers, type Leftover, removeOrphans } from './leftovers.ts';
import { continueFrozen, mountPointsOnce, recoverContainer, remount } from './recover-containers.ts';
import { type MeasuredUsage, WritableUsage } from './writable-usage.ts';
import { writtenBy } from './written.ts';

/** Containers that recovery inspects concurrently. */
const RECOVERED_AT_ONCE = 16;
/** Maximum time from SIGKILL to the exit of a container before the stop fails. */
const KILL_WAIT_MS = 10_000;
/** Maximum delay of setTimeout in Node.js, in milliseconds. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
const nothing = () => Promise.resolve();

/** The image functions that containers use. */
export interface ContainerImages {
  status(image: string): ImageRecord | undefined;
  /** Removes layers that are no longer in use. */
  collect(): Promise<void>;
}

export interface ContainerServiceOptions {
  /** Directory of durable data. */
  root: string;
  records: RecordsPlace;
  pods: PodService;
  plugins: Plugins;
  /** Those of all handlers, and of earlier configurations. */
  stores: RootfsStores;
  images: ContainerImages;
  /** Maximum number of processes in a container; -1: no limit. */
  pidsLimit: number;
  /** Host paths that are refused as sources of mounts while nothing is there, instead of created as directories. */
  absentMountSourcesToReject: readonly string[];
  /** Limits of the processes of each container. */
  rlimits: readonly Rlimit[];
  clock: Clock;
  logger: Logger;
  events: EventHub;
  stored: StoredContainer;
}

/** The life cycle of containers: create, start, stop, remove, and adopt after a restart. */
export class ContainerService {
  readonly limits: ContainerLimits;
  readonly #options: ContainerServiceOptions;
  readonly #store: ContainerStore;
  readonly #plugins: ContainerPlugins;
  readonly #locks = new KeyedLock();
  readonly #usage: WritableUsage;
  readonly #recoveries: Retries;
  readonly #orphanRetries: Retries;

  constructor(options: ContainerServiceOptions) {
    this.#options = options;
    this.#plugins = new ContainerPlugins(options, {
      setLimits: (id, limits) => this.limits.set(id, limits),
      stop: (id, timeoutSeconds) => this.stop(id, timeoutSeconds),
    });
    this.#store = new ContainerStore({ ...options, ended: (record) => this.#plugins.stopped(record) });
    this.limits = new ContainerLimits({ ...options, store: this.#store, locks: this.#locks, plugins: this.#plugins });
    const runners = new Set(options.pods.backends().map(({ runner }) => runner));
    for (const runner of runners) runner.onExit(({ id }) => this.#reconcile(id));
    this.#usage = new WritableUsage({
      measure: (id) => this.#written(id),
      clock: options.clock,
      onError: (containerId, error) => {
        options.logger.warn('Measuring the usage of a container failed', { containerId, error: messageOf(error) });
      },
    });
    this.#recoveries = new Retries((id) => this.#recover(id), options);
    this.#orphanRetries = new Retries(() => removeOrphans(this.#options, this.#store), options);
    options.events.onStep('ending', async (sandboxId) => {
      const all = this.#store.of(sandboxId);
      const live = all.filter((record) => record.phase !== 'exited');
      await forEach(live, live.length, (record) => this.stop(record.id, 0n));
      await this.#plugins.settled(() => forEach(all, all.length, ({ id }) => this.#locks.run(id, nothing)));
    });
    options.events.onStep('removing', async (sandboxId) => {
      const all = this.#store.of(sandboxId);
      await forEach(all, all.length, (record) => this.remove(record.id));
      await removeUnneededVolumes(options, sandboxId);
    });
  }

  /** Visible containers: those whose CreateContainer has finished. */
  list(): ContainerRecord[] {
    return this.#store.visible();
  }

  /** @throws CriError NOT_FOUND, INVALID_ARGUMENT for an ambiguous prefix. */
  get(id: string): ContainerRecord {
    return findById('container', this.list(), id);
  }

  /**
   * Creates a container in a READY pod (CRI CreateContainer) and returns its id. A repeated request returns the existing
   * container. Rolled back when it fails.
   * @param request recorded for its parser; two requests are the same when these are equal.
   * @param signal ends what may take long: mounting, copying what the image has in its volumes, and the OCI runtime.
   * @throws CriError NOT_FOUND for the pod or the image, FAILED_PRECONDITION, INVALID_ARGUMENT, UNIMPLEMENTED,
   *   ALREADY_EXISTS, UNKNOWN with the runtime's message; the signal's reason.
   */
  async create(sandboxId: string, spec: ContainerSpec, request: unknown, signal?: AbortSignal): Promise<string> {
    const { pods, logger } = this.#options;
    const { id: podId } = pods.get(sandboxId);
    return pods.exclusive(podId, async () => {
      signal?.throwIfAborted();
      const pod = pods.ready(podId);
      const name = containerName(podId, spec.metadata);
      const earlier = this.#store.names.owner(name);
      const existing = earlier === undefined ? undefined : this.#store.get(earlier);
      if (existing?.phase === 'created' && isDeepStrictEqual(existing.request, request)) return existing.id;
      // An earlier attempt that could not be removed, and that only this server can see.
      if (existing?.phase === 'creating') await this.#locks.run(existing.id, () => this.#remove(existing));
      const id = newId();
      this.#store.names.reserve(name, id);
      const rollback = new Rollback();
      const left: string[] = [];
      // The record is deleted last, and only when the next start does not need it.
      rollback.add('delete the record', async () => {
        if (left.length === 0) await this.#store.delete(id);
      });
      try {
        const call = { id, pod, spec, request, signal };
        await this.#locks.run(id, () => createContainer(this.#options, this.#store, this.#plugins, call, rollback));
      } catch (error) {
        const isCut = signal?.aborted === true;
        await rollback.run((what, failure) => {
          left.push(what);
          logger.error('CreateContainer rollback step failed', { containerId: id, what, error: messageOf(failure) });
        });
        if (left.length > 0) this.#recoveries.schedule(id);
        throw isCut ? signal.reason : withoutId(error, id);
      }
      this.#store.publish('created', { id, sandboxId: podId });
      return id;
    });
  }

  /**
   * Starts a created container (CRI StartContainer).
   * @throws CriError NOT_FOUND, FAILED_PRECONDITION when it is not in state CREATED, UNKNOWN with the runtime's message;
   *   the container is then EXITED with code 128 and reason StartError.
   */
  async start(id: string): Promise<void> {
    const { clock, pods } = this.#options;
    const { id: fullId, sandboxId } = this.get(id);
    await this.#locks.run(fullId, async () => {
      const record = this.get(fullId);
      if (record.phase !== 'created') {
        throw failedPrecondition(`container ${fullId} is ${record.phase}; only a created container can be started`);
      }
      const { runner } = pods.ready(sandboxId).backend;
      const starting: ContainerRecord = { ...record, phase: 'starting', startedAt: notBefore(record, clock.now()) };
      await this.#store.draft(starting);
      const running: ContainerRecord = { ...starting, phase: 'running' };
      try {
        await this.#plugins.amid(async () => {
          await this.#plugins.starting(record);
          await runner.start(fullId);
          await this.#store.settle(running);
        });
      } catch (error) {
        await this.#store.finish(startFailed(starting, clock.now(), messageOf(error)));
        await runner.killAll(fullId);
        throw error;
      }
      await this.#plugins.started(running);
    });
    this.#store.publish('started', { id: fullId, sandboxId });
  }

  /**
   * Stops a container (CRI StopContainer): its stop signal, a grace period of `timeoutSeconds`, then SIGKILL to all its processes.
   * No error when it has exited or does not exist. @throws CriError DEADLINE_EXCEEDED when it survives SIGKILL.
   */
  async stop(id: string, timeoutSeconds: bigint): Promise<void> {
    if (timeoutSeconds < 0n) throw invalidArgument('timeout', 'must not be negative');
    const found = lookupById('container', this.list(), id);
    if (found === undefined) return;
    // Waits for a concurrent start; the grace period does not hold the lock, so that a remove can shorten it.
    const record = await this.#locks.run(found.id, () => Promise.resolve(this.#store.get(found.id)));
    if (record === undefined || record.phase === 'exited') return;
    const graceMs = Math.min(Number(timeoutSeconds) * 1000, LONGEST_TIMER_MS);
    if (record.phase === 'running' && graceMs > 0) {
      await this.#runnerOf(record).signal(record.id, record.stopSignal);
      if (await this.#ended(record.id, graceMs)) return;
    }
    await this.#runnerOf(record).killAll(record.id);
    if (await this.#ended(record.id, KILL_WAIT_MS)) return;
    throw new CriError(StatusCode.DEADLINE_EXCEEDED, `container ${record.id} is still running 10 s after SIGKILL`);
  }

  /** Removes a container, killing it first (CRI RemoveContainer). No error when it does not exist. */
  async remove(id: string): Promise<void> {
    const record = lookupById('container', this.#store.all(), id);
    if (record === undefined) return;
    await this.#locks.run(record.id, () => this.#remove(record));
  }

  async #remove(record: ContainerRecord): Promise<void> {
    const now = this.#store.get(record.id);
    if (now === undefined) return;
    const { images, stores } = this.#options;
    const backend = this.#backendOf(record);
    const { runner, platform } = backend;
    // Before anything is removed: without its store the record must stay.
    const rootfs = needPlace(now, backend, stores);
    if (now.phase !== 'creating' && now.phase !== 'exited') await this.#kill(now);
    const told = await this.#plugins.removing(now);
    await runner.remove(record.id);
    await removeVolumes(volumePlace(rootfs.store, platform), now);
    await removeImageVolumes(rootfs, record);
    await removeRootfs(rootfs, record.id);
    this.#usage.forget(record.id);
    await this.#store.delete(record.id);
    this.#store.publish('deleted', record);
    await told();
    const used = [record.imageId, ...(record.mountedImages ?? []).map(({ imageId }) => imageId)];
    // A store that is left has layers for its containers alone.
    const isLeft = stores.left.includes(rootfs.store);
    if (isLeft || used.some((id) => images.status(id) === undefined)) await images.collect();
  }

  /** Kills a container and records its exit, which an interrupted removal must not lose. */
  async #kill(record: ContainerRecord): Promise<void> {
    const runner = this.#runnerOf(record);
    await runner.killAll(record.id);
    // Each inspection waits for the monitor's report; the removal kills a monitor that never reports.
    for (let looks = 0; looks < 3 && (await runner.inspect(record.id)).status === 'running'; looks += 1);
    await recoverContainer(this.#options, this.#store, record, () => Promise.resolve());
  }

  /** The last measured usage of a container's root filesystem and declared volumes. */
  usage(id: string): Promise<MeasuredUsage | undefined> {
    return this.#usage.of(this.get(id).id);
  }

  /** The same of all containers together, by the names of their stores. */
  async totalUsages(): Promise<ReadonlyMap<string, MeasuredUsage>> {
    const totals = new Map<string, MeasuredUsage>();
    for (const [name, records] of Map.groupBy(this.#store.all(), storeNameOf))
      totals.set(name, await this.#usage.total(records.map(({ id }) => id)));
    return totals;
  }

  async #written(id: string): Promise<Usage | undefined> {
    const record = this.#store.get(id);
    return record && writtenBy(this.#options, record);
  }

  /** What the stores and volumes have that no record knows, or that was removed and is still there; changes nothing. */
  leftovers(): Promise<Leftover[]> {
    return findLeftovers(this.#options, this.#store);
  }

  /** Verbose information of the runner about a container: its first process and its OCI configuration. */
  async describe(record: ContainerRecord): Promise<{ pid: number; runtimeSpec: OciSpec | undefined }> {
    const { runner, platform } = this.#backendOf(record);
    const state = await runner.inspect(record.id);
    const runtimeSpec = await runner.spec(record.id);
    if (runtimeSpec !== undefined) {
      // The runner has the limits at creation, the record also those of updates.
      const { linux } = runtimeSpec;
      linux.resources = limitedResources(linux.resources, record.spec.resources, platform.facts);
    }
    return { pid: 'pid' in state ? state.pid : 0, runtimeSpec };
  }

  /** Reopens the log after it was renamed (CRI ReopenContainerLog). @throws CriError NOT_FOUND, FAILED_PRECONDITION. */
  async reopenLog(id: string): Promise<void> {
    const record = this.running(id);
    if (record.logPath !== '') await this.#runnerOf(record).reopenLog(record.id);
  }

  /** Changes limits, which the container's status has then (CRI UpdateContainerResources): {@link ContainerLimits.update}. */
  async update(id: string, update: ResourceLimits): Promise<void> {
    await this.limits.update(this.get(id).id, update);
  }

  /**
   * Runs a task while nothing else starts, updates or removes a container, and no exit of it is recorded. A stop waits as well,
   * unless its grace period has begun.
   * @param signal ends the wait. @throws CriError NOT_FOUND; the signal's reason; as the task.
   */
  async exclusive<T>(id: string, task: (record: ContainerRecord) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const { id: fullId } = this.get(id);
    return runLocked(this.#locks, fullId, signal, () => task(this.get(fullId)));
  }

  /** Loads the records and recovers the rootfs stores; called before the images are loaded, which use these. */
  async load(): Promise<void> {
    await this.#store.load();
    await this.#options.stores.recover();
  }

  /**
   * Reconciles the records with the runner, completes interrupted steps of an earlier process and removes orphans. Called after
   * {@link load} and before PodService.recover. Failures are logged, and retried by {@link keep}.
   */
  async recover(): Promise<void> {
    const points = mountPointsOnce();
    await forEach(this.#store.all(), RECOVERED_AT_ONCE, async ({ id }) => {
      try {
        await this.#recover(id, points);
      } catch (error) {
        this.#options.logger.error('Reconciling a container failed', { containerId: id, error: messageOf(error) });
        this.#recoveries.schedule(id);
      }
    });
    await removeOrphans(this.#options, this.#store).catch(() => {
      this.#orphanRetries.schedule('orphaned containers');
    });
  }

  /** Retries failed recoveries and removals until `signal` fires. Called once, after {@link recover}. */
  keep(signal: AbortSignal): void {
    this.#recoveries.start(signal);
    this.#orphanRetries.start(signal);
  }

  async #recover(id: string, points = mountPointsOnce()): Promise<void> {
    await this.#locks.run(id, async () => {
      const record = this.#store.get(id);
      if (record === undefined) return;
      if (record.phase !== 'exited') await continueFrozen(this.#backendOf(record), id);
      await recoverContainer(this.#options, this.#store, record, () => this.#remove(record));
      const now = this.#store.get(id);
      if (now?.phase === 'created' || now?.phase === 'running') await remount(this.#options, now, points);
    });
  }

  #backendOf({ sandboxId }: ContainerRecord): Backend {
    return this.#options.pods.backendOf(sandboxId);
  }

  #runnerOf(record: ContainerRecord): ContainerRunner {
    return this.#backendOf(record).runner;
  }

  /** A running container's record. @throws CriError NOT_FOUND, FAILED_PRECONDITION when it is not running. */
  running(id: string): ContainerRecord {
    const record = this.get(id);
    if (record.phase === 'running') return record;
    throw failedPrecondition(`container ${record.id} is ${record.phase}, not running`);
  }

  async #ended(id: string, ms: number): Promise<boolean> {
    // The container may have exited before the wait.
    await this.#reconcile(id);
    return this.#store.waitForEnd(id, ms);
  }

  /** Reconciles one record with the runner, which distinguishes a known exit code from an unknown one. */
  async #reconcile(id: string): Promise<void> {
    await this.#locks.run(id, async () => {
      const record = this.#store.get(id);
      if (record === undefined || record.phase === 'creating') return;
      await recoverContainer(this.#options, this.#store, record, () => this.#remove(record));
    });
  }
}
