import { isDeepStrictEqual } from 'node:util';
import { forEach } from '../../../utils/async/for-each.ts';
import { KeyedLock } from '../../../utils/async/keyed-lock.ts';
import { Undo } from '../../../utils/async/undo.ts';
import type { Backend } from '../../model/backend.ts';
import type { Clock } from '../../model/clock.ts';
import type { ContainerRecord } from '../../model/container.ts';
import type { ContainerSpec } from '../../model/container-spec.ts';
import type { ContainerRunner } from '../../model/container-runner.ts';
import { CriError, StatusCode, failedPrecondition, invalidArgument } from '../../model/errors.ts';
import { messageOf } from '../../../utils/errors.ts';
import { defined } from '../../../utils/object.ts';
import type { ImageRecord } from '../../model/image.ts';
import type { Logger } from '../../model/logger.ts';
import type { OciSpec } from '../../model/oci-runtime.ts';
import { mergeLimits } from '../../model/resources.ts';
import type { ResourceLimits } from '../../model/resources.ts';
import type { Rlimit } from '../../model/rlimits.ts';
import type { Usage } from '../../model/rootfs.ts';
import type { EventHub } from '../events/event-hub.ts';
import { findById, lookupById, newId } from '../ids.ts';
import { limitsUpdate, ociResources } from '../oci/resources.ts';
import type { PodService } from '../pods/pod-service.ts';
import type { RecordsPlace } from '../records/record-store.ts';
import { withoutId } from '../without-id.ts';
import { ContainerStore, containerName } from './container-store.ts';
import type { StoredContainer } from './container-record.ts';
import { createContainer } from './create-container.ts';
import { rootfsIds, unmountImageVolumes } from './image-volumes.ts';
import { startFailed } from './outcome.ts';
import { recoverContainer, removeOrphans } from './recover-containers.ts';
import { WritableUsage } from './writable-usage.ts';
import type { Measured } from './writable-usage.ts';

/** Containers that a start looks for side by side. */
const RECOVERED_AT_ONCE = 16;
/** How long a killed container may take to be gone before the stop is reported as failed. */
const KILL_WAIT_MS = 10_000;
/** The longest wait setTimeout(3) of Node.js can do, in milliseconds. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** What containers need to know of images. */
export interface ContainerImages {
  status(image: string): ImageRecord | undefined;
  /** Drops layers that nothing builds on any more. */
  collect(): Promise<void>;
}

export interface ContainerServiceOptions {
  /** Directory of durable data. */
  root: string;
  records: RecordsPlace;
  pods: PodService;
  images: ContainerImages;
  /** Processes a container may have; -1 sets no limit. */
  pidsLimit: number;
  /** Limits of the processes of each container. */
  rlimits: readonly Rlimit[];
  clock: Clock;
  logger: Logger;
  events: EventHub;
  stored: StoredContainer;
}

/** The life cycle of containers: create, start, stop, remove, exec, and take up again after a restart. */
export class ContainerService {
  readonly #options: ContainerServiceOptions;
  readonly #store: ContainerStore;
  readonly #locks = new KeyedLock();
  readonly #usage: WritableUsage;

  constructor(options: ContainerServiceOptions) {
    this.#options = options;
    this.#store = new ContainerStore(options);
    const runners = new Set(options.pods.backends().map(({ runner }) => runner));
    for (const runner of runners) runner.onExit(({ id }) => this.#reconcile(id));
    this.#usage = new WritableUsage({
      measure: (id) => this.#written(id),
      clock: options.clock,
      onError: (containerId, error) => {
        options.logger.warn('Cannot count what a container has written', { containerId, error: messageOf(error) });
      },
    });
    options.events.onStep('ending', async (sandboxId) => {
      const live = this.#store.of(sandboxId).filter((record) => record.phase !== 'exited');
      await forEach(live, live.length, (record) => this.stop(record.id, 0n));
    });
    options.events.onStep('removing', async (sandboxId) => {
      const all = this.#store.of(sandboxId);
      await forEach(all, all.length, (record) => this.remove(record.id));
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
   * Creates a container in a READY pod (CRI CreateContainer) and returns its id. A repeat of a request that succeeded gives
   * the first attempt's container. Nothing stays when it fails.
   * @param request kept for whoever parsed it; two requests are the same when theirs are equal.
   * @param signal ends what may take long: copying what the image has in its volumes, and the OCI runtime.
   * @throws CriError NOT_FOUND for the pod or the image, FAILED_PRECONDITION, INVALID_ARGUMENT, UNIMPLEMENTED,
   *   ALREADY_EXISTS, UNKNOWN with the runtime's own words; the signal's reason.
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
      // An earlier attempt that could not be cleared away, and that nobody but this server can see.
      if (existing?.phase === 'creating') await this.#locks.run(existing.id, () => this.#remove(existing));
      const id = newId();
      this.#store.names.reserve(name, id);
      const undo = new Undo();
      let left = false;
      // The record goes last, and only when nothing is left that the next start would need it for.
      undo.add('delete the record', async () => {
        if (!left) await this.#store.delete(id);
      });
      try {
        const call = { id, pod, spec, request, signal };
        await this.#locks.run(id, () => createContainer(this.#options, this.#store, call, undo));
      } catch (error) {
        const isCut = signal?.aborted === true;
        await undo.rollback((what, failure) => {
          left = true;
          logger.error('Cannot undo a step of CreateContainer', { containerId: id, what, error: messageOf(failure) });
        });
        throw isCut ? signal.reason : withoutId(error, id);
      }
      this.#store.publish('created', { id, sandboxId: podId });
      return id;
    });
  }

  /**
   * Starts a created container (CRI StartContainer).
   * @throws CriError NOT_FOUND, FAILED_PRECONDITION when it is not in state CREATED, UNKNOWN with the runtime's own words;
   *   the container is then EXITED with code 128 and reason StartError.
   */
  async start(id: string): Promise<void> {
    const { clock, pods } = this.#options;
    const { id: fullId, sandboxId } = this.get(id);
    await this.#locks.run(fullId, async () => {
      const record = this.get(fullId);
      if (record.phase !== 'created') {
        throw failedPrecondition(`container ${fullId} is ${record.phase}: only a created one can be started`);
      }
      const { runner } = pods.ready(sandboxId).backend;
      const starting: ContainerRecord = { ...record, phase: 'starting', startedAt: clock.now() };
      await this.#store.put(starting);
      try {
        await runner.start(fullId);
      } catch (error) {
        await this.#store.finish(startFailed(starting, clock.now(), messageOf(error)));
        await runner.killAll(fullId);
        throw error;
      }
      await this.#store.settle({ ...starting, phase: 'running' });
    });
    this.#store.publish('started', { id: fullId, sandboxId });
  }

  /**
   * Ends a container (CRI StopContainer): its stop signal, `timeoutSeconds` of grace, then SIGKILL to all its processes.
   * No error when it has ended or does not exist. @throws CriError DEADLINE_EXCEEDED when it outlives SIGKILL.
   */
  async stop(id: string, timeoutSeconds: bigint): Promise<void> {
    if (timeoutSeconds < 0n) throw invalidArgument('timeout', 'must not be negative');
    const found = lookupById('container', this.list(), id);
    if (found === undefined) return;
    // Waits for a start that is under way; the grace itself is not held under the lock, so that a remove can cut it short.
    const record = await this.#locks.run(found.id, () => Promise.resolve(this.#store.get(found.id)));
    if (record === undefined || record.phase === 'exited') return;
    const graceMs = Math.min(Number(timeoutSeconds) * 1000, LONGEST_TIMER_MS);
    if (record.phase === 'running' && graceMs > 0) {
      await this.#runnerOf(record).signal(record.id, record.stopSignal);
      if (await this.#ended(record.id, graceMs)) return;
    }
    await this.#runnerOf(record).killAll(record.id);
    if (await this.#ended(record.id, KILL_WAIT_MS)) return;
    throw new CriError(StatusCode.DEADLINE_EXCEEDED, `container ${record.id} still runs 10 s after SIGKILL`);
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
    const { images } = this.#options;
    const { runner, rootfs, platform } = this.#backendOf(record);
    if (now.phase !== 'creating' && now.phase !== 'exited') await this.#kill(now);
    await runner.remove(record.id);
    await platform.volumes.remove(record.id);
    await unmountImageVolumes(rootfs, record);
    await rootfs.remove(record.id);
    this.#usage.forget(record.id);
    await this.#store.delete(record.id);
    this.#store.publish('deleted', record);
    const used = [record.imageId, ...(record.mountedImages ?? []).map(({ imageId }) => imageId)];
    if (used.some((id) => images.status(id) === undefined)) await images.collect();
  }

  /** Kills a container and records its true end, for a removal that is cut off must not lose it. */
  async #kill(record: ContainerRecord): Promise<void> {
    const runner = this.#runnerOf(record);
    await runner.killAll(record.id);
    // Each look waits for the monitor's report; one that never reports is ended by the removal.
    for (let looks = 0; looks < 3 && (await runner.inspect(record.id)).status === 'running'; looks += 1);
    await recoverContainer(this.#options, this.#store, record, () => Promise.resolve());
  }

  /** What a container has written to its root file system and to the directories that its image declares, as it was counted last. */
  usage(id: string): Promise<Measured | undefined> {
    return this.#usage.of(this.get(id).id);
  }

  /** The same of all containers together. */
  totalUsage(): Promise<Measured> {
    return this.#usage.total(this.#store.all().map(({ id }) => id));
  }

  async #written(id: string): Promise<Usage | undefined> {
    const record = this.#store.get(id);
    if (record === undefined) return undefined;
    const { rootfs, platform } = this.#backendOf(record);
    const [layer, volumes] = await Promise.all([rootfs.usage(id), platform.volumes.usage(id)]);
    if (layer === undefined) return undefined;
    return { bytes: layer.bytes + volumes.bytes, inodes: layer.inodes + volumes.inodes };
  }

  /** What the runner knows of a container, for people: its first process and its OCI configuration. */
  async describe(record: ContainerRecord): Promise<{ pid: number; runtimeSpec: OciSpec | undefined }> {
    const { runner, platform } = this.#backendOf(record);
    const state = await runner.inspect(record.id);
    const runtimeSpec = await runner.spec(record.id);
    if (runtimeSpec !== undefined) {
      // The runner has the limits of the creation, the record those of updates too.
      const { devices, pids } = runtimeSpec.linux.resources;
      const limits = ociResources(record.spec.resources, platform.facts);
      runtimeSpec.linux = { ...runtimeSpec.linux, resources: { ...limits, ...defined({ devices, pids }) } };
    }
    return { pid: 'pid' in state ? state.pid : 0, runtimeSpec };
  }

  /** Opens the log anew after it was renamed (CRI ReopenContainerLog). @throws CriError NOT_FOUND, FAILED_PRECONDITION. */
  async reopenLog(id: string): Promise<void> {
    const record = this.running(id);
    if (record.logPath !== '') await this.#runnerOf(record).reopenLog(record.id);
  }

  /**
   * Changes limits (CRI UpdateContainerResources); what the update leaves open stays. They show in the container's status.
   * @throws CriError NOT_FOUND, FAILED_PRECONDITION for a container that has ended or a limit that the machine cannot keep.
   */
  async update(id: string, update: ResourceLimits): Promise<void> {
    const { id: fullId } = this.get(id);
    await this.#locks.run(fullId, async () => {
      const record = this.get(fullId);
      if (record.phase === 'exited') {
        throw failedPrecondition(`container ${fullId} has ended: its limits cannot be changed`);
      }
      const { runner, platform } = this.#backendOf(record);
      const resources = mergeLimits(record.spec.resources, update);
      await runner.update(fullId, limitsUpdate(update, resources, platform.facts));
      await this.#store.put({ ...record, spec: { ...record.spec, resources } });
    });
  }

  /** Loads the records and readies their root file systems; comes before the images are loaded, which look at those. */
  async load(): Promise<void> {
    await this.#store.load();
    const keep = new Set(this.#store.all().flatMap(rootfsIds));
    for (const store of new Set(this.#options.pods.backends().map(({ rootfs }) => rootfs))) await store.recover(keep);
  }

  /**
   * Compares the records with what the runner has, finishes what an earlier process left half done and removes what no
   * record knows. Called after {@link load} and before PodService.recover.
   */
  async recover(): Promise<void> {
    await forEach(this.#store.all(), RECOVERED_AT_ONCE, async (record) => {
      try {
        await this.#locks.run(record.id, () =>
          recoverContainer(this.#options, this.#store, record, () => this.#remove(record)),
        );
      } catch (error) {
        this.#options.logger.error('Cannot put a container in order', {
          containerId: record.id,
          error: messageOf(error),
        });
      }
    });
    await removeOrphans(this.#options, this.#store);
  }

  #backendOf({ sandboxId }: ContainerRecord): Backend {
    return this.#options.pods.backendOf(sandboxId);
  }

  #runnerOf(record: ContainerRecord): ContainerRunner {
    return this.#backendOf(record).runner;
  }

  /** A running container's record. @throws CriError NOT_FOUND, FAILED_PRECONDITION when it does not run. */
  running(id: string): ContainerRecord {
    const record = this.get(id);
    if (record.phase === 'running') return record;
    throw failedPrecondition(`container ${record.id} is ${record.phase}, not running`);
  }

  async #ended(id: string, ms: number): Promise<boolean> {
    // The end may have come before anybody waited.
    await this.#reconcile(id);
    return this.#store.waitForEnd(id, ms);
  }

  /** Brings one record in line with what the runner has now; it alone tells a true exit code from an unknown one. */
  async #reconcile(id: string): Promise<void> {
    await this.#locks.run(id, async () => {
      const record = this.#store.get(id);
      if (record === undefined || record.phase === 'creating') return;
      await recoverContainer(this.#options, this.#store, record, () => this.#remove(record));
    });
  }
}
