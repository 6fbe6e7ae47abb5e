import { mkdir, rm } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { join } from 'node:path';
import type { PodSandboxConfig } from '../../../../api/gen/cri.ts';
import { mountTmpfs, unmount } from '../../../host/mounts/mount.ts';
import { KeyedLock } from '../../../utils/async/keyed-lock.ts';
import { Undo } from '../../../utils/async/undo.ts';
import type { Backend } from '../../model/backend.ts';
import type { ContainerRunner } from '../../model/container-runner.ts';
import { failedPrecondition, invalidArgument } from '../../model/errors.ts';
import { messageOf } from '../../../utils/errors.ts';
import type { Logger } from '../../model/logger.ts';
import type { SandboxRecord } from '../../model/sandbox.ts';
import type { Placement, SandboxProvider, SandboxSpec } from '../../model/sandbox-provider.ts';
import { findById, lookupById, newId } from '../ids.ts';
import { NameRegistry } from '../names.ts';
import { ociResources } from '../oci/resources.ts';
import { RecordStore } from '../records/record-store.ts';
import { attachNetwork } from './attach-network.ts';
import { checkCgroupParent } from './cgroup-parent.ts';
import { podFiles, writePodFiles } from './files.ts';
import type { PodFiles } from './files.ts';
import { keepNetworks } from './network-upkeep.ts';
import { copyRecord, discardOrphans } from './orphans.ts';
import type { PodContainers } from './pod-containers.ts';
import { Retries } from './retries.ts';
import type { PodServiceOptions } from './pod-options.ts';
import { podName, sandboxSchema } from './sandbox-record.ts';
import { namespaceOptions, networkRequest, sandboxSpec } from './sandbox-spec.ts';
import { validatePodConfig } from './validate.ts';

/** Kubernetes' size of a pod's /dev/shm. */
const SHM_BYTES = 64 * 1024 * 1024;

/** A running pod, as containers are placed in it. */
export interface ReadyPod {
  record: SandboxRecord;
  placement: Placement;
  /** Runs its containers. */
  runner: ContainerRunner;
  files: PodFiles;
}

/** The life cycle of pod sandboxes: run, stop, remove, find, and take up again after a restart. */
export class PodService {
  readonly #options: PodServiceOptions;
  readonly #records: RecordStore<SandboxRecord>;
  readonly #names = new NameRegistry('pod sandbox');
  readonly #locks = new KeyedLock();
  readonly #placements = new Map<string, Placement>();
  readonly #backends: ReadonlyMap<string, Backend>;
  readonly #logger: Logger;
  readonly #stopRetries: Retries;
  #containers: PodContainers | undefined;

  constructor(options: PodServiceOptions) {
    this.#options = options;
    this.#logger = options.logger;
    this.#backends = new Map(options.backends.map((backend) => [backend.sandboxes.handler, backend]));
    this.#records = new RecordStore(join(options.root, 'sandboxes'), { ...options, schema: sandboxSchema });
    this.#stopRetries = new Retries((id) => this.stop(id), options);
    for (const { sandboxes } of options.backends) sandboxes.onExit((id) => void this.#ended(id));
  }

  /** Names who looks after the containers; called once, before anything else. */
  attachContainers(containers: PodContainers): void {
    this.#containers = containers;
  }

  /** Visible pods: those whose RunPodSandbox has finished. */
  list(): SandboxRecord[] {
    return this.#records.list().filter((record) => record.phase !== 'creating');
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
    const placement = this.#placements.get(record.id);
    if (record.phase !== 'ready' || placement === undefined) {
      throw failedPrecondition(`pod sandbox ${record.id} is not ready: its containers cannot be created or started`);
    }
    const { runner } = this.#backend(record.handler);
    return { record, placement, runner, files: podFiles(this.#runDir(record.id)) };
  }

  /** The provider's own facts about a pod, for people. */
  async describe(record: SandboxRecord): Promise<Record<string, unknown>> {
    return this.#backends.get(record.handler)?.sandboxes.describe(this.#spec(record)) ?? {};
  }

  /**
   * What runs the containers of a pod, also of one that has ended. A pod without a record, whose file was lost, is taken
   * for the default handler's. @throws CriError INVALID_ARGUMENT when its handler is not configured any more.
   */
  runnerOf(sandboxId: string): ContainerRunner {
    return this.#backend(this.#records.get(sandboxId)?.handler ?? this.#options.defaultHandler).runner;
  }

  /** Every runner, each once. */
  runners(): ContainerRunner[] {
    return [...new Set([...this.#backends.values()].map(({ runner }) => runner))];
  }

  /**
   * Makes and starts a pod (CRI RunPodSandbox) and returns its id. A repeat of a request that succeeded, or that is still
   * under way, gives the first attempt's pod. Nothing stays when it fails.
   * @throws CriError INVALID_ARGUMENT, UNIMPLEMENTED, ALREADY_EXISTS, UNAVAILABLE, NOT_FOUND for an unknown handler.
   */
  async run(config: PodSandboxConfig, handler: string): Promise<string> {
    const { cgroupDriver, cgroupParent } = this.#options;
    validatePodConfig(config);
    checkCgroupParent(config.linux?.cgroupParent || cgroupParent, cgroupDriver, 'config.linux.cgroup_parent');
    await this.#checkUserNamespace(config);
    const provider = this.#provider(handler || this.#options.defaultHandler);
    const name = podName(config);
    return this.#locks.run(`name:${name}`, async () => {
      const earlier = this.#names.owner(name);
      const existing = earlier === undefined ? undefined : this.#records.get(earlier);
      if (
        existing?.phase === 'ready' &&
        existing.handler === provider.handler &&
        isDeepStrictEqual(existing.config, config)
      ) {
        return existing.id;
      }
      const id = newId();
      this.#names.reserve(name, id);
      const record: SandboxRecord = {
        id,
        handler: provider.handler,
        config,
        phase: 'creating',
        createdAt: this.#options.clock.now(),
        bootId: this.#options.host.bootId,
      };
      const undo = new Undo();
      const left: string[] = [];
      // Record and name go last, and only when nothing is left that they would be needed for.
      undo.add('delete the record', async () => {
        if (left.length > 0) return;
        await this.#records.delete(id);
        this.#names.release(id);
      });
      try {
        await this.#locks.run(id, () => this.#create(record, provider, undo));
      } catch (error) {
        await undo.rollback((what, failure) => {
          left.push(what);
          this.#logger.error('Cannot undo a step of RunPodSandbox', { sandbox: id, what, error: messageOf(failure) });
        });
        if (left.length > 0) await this.#leave(id);
        throw error;
      }
      this.#publish('started', id);
      return id;
    });
  }

  /** A pod that cannot be cleared away yet: shown as NOTREADY, so that the kubelet removes it, and tried again here too. */
  async #leave(id: string): Promise<void> {
    const record = this.#records.get(id);
    if (record === undefined) return this.#names.release(id);
    await this.#records.put({ ...record, phase: 'stopped' });
    this.#stopRetries.schedule(id);
  }

  /** Refused before anything is made: its containers could not be created. */
  async #checkUserNamespace(config: PodSandboxConfig): Promise<void> {
    if (namespaceOptions(config).user === undefined) return;
    const problem = await this.#options.userNamespaces.problem();
    if (problem !== undefined) throw failedPrecondition(`a pod cannot have a user namespace here: ${problem}`);
  }

  async #create(record: SandboxRecord, provider: SandboxProvider, undo: Undo): Promise<void> {
    const { network } = this.#backend(record.handler);
    const runDir = this.#runDir(record.id);
    const spec = this.#spec(record);
    await this.#records.put(record);
    undo.add('remove the run folder', () => rm(runDir, { recursive: true, force: true }));
    await mkdir(runDir, { recursive: true, mode: 0o700 });
    undo.add('remove the sandbox', async () => {
      await provider.stop(spec);
      await provider.remove(spec);
    });
    const placement = await provider.start(spec);
    const keep = async (half: SandboxRecord) => {
      await this.#records.put(half);
      await copyRecord(runDir, half);
    };
    const attaching = spec.network === 'pod' ? attachNetwork(network, { record, placement }, keep, undo) : undefined;
    const attachment = await attaching;
    const owner = spec.userNamespace?.hostId ?? 0;
    const files = await writePodFiles(runDir, {
      config: record.config,
      hostname: spec.hostname,
      ips: attachment?.ips ?? [],
      hostNetwork: spec.network === 'node',
      owner,
    });
    if (spec.ipc === 'pod') {
      undo.add('unmount /dev/shm', () => unmount(files.shm));
      await mountTmpfs(files.shm, SHM_BYTES, owner);
    }
    this.#placements.set(record.id, placement);
    undo.add('forget the placement', () => Promise.resolve(this.#placements.delete(record.id)));
    await this.#records.put({ ...record, phase: 'ready', ...(attachment !== undefined && { network: attachment }) });
  }

  /**
   * Ends every container of the pod and gives its network and namespaces back (CRI StopPodSandbox). No error when it was
   * stopped before or does not exist.
   */
  async stop(id: string): Promise<void> {
    const record = lookupById('pod sandbox', this.#records.list(), id);
    if (record === undefined) return;
    await this.#locks.run(record.id, () => this.#stop(record.id));
  }

  async #stop(id: string): Promise<void> {
    const record = this.#records.get(id);
    if (record === undefined) return;
    const wasReady = record.phase === 'ready';
    // First of all: what is stopped in part must never be taken up again as READY.
    if (wasReady) await this.#records.put({ ...record, phase: 'stopped' });
    this.#placements.delete(id);
    await this.#containers?.endAll(id);
    const provider = this.#provider(record.handler);
    const spec = this.#spec(record);
    try {
      if (record.network !== undefined) {
        const netns = (await provider.inspect(spec))?.namespaces.network;
        await this.#backend(record.handler).network.detach(networkRequest(record, netns), record.network);
      }
      await provider.stop(spec);
    } catch (error) {
      await this.#leave(id);
      if (wasReady) this.#publish('stopped', id);
      throw error;
    }
    await unmount(podFiles(spec.runDir).shm);
    if (record.phase === 'stopped' && record.network === undefined) return;
    const stopped: SandboxRecord = { ...record, phase: 'stopped' };
    // The addresses stay readable in the status of a stopped pod only while the network holds them.
    delete stopped.network;
    await this.#records.put(stopped);
    if (wasReady) this.#publish('stopped', id);
  }

  /**
   * Notes the limits of a whole pod (CRI UpdatePodSandboxResources). The pod's own cgroup, which is the parent of the one
   * made here, belongs to the kubelet, and it has written the limits there itself: they must not be written twice.
   * @throws CriError NOT_FOUND, FAILED_PRECONDITION when the pod is not READY, INVALID_ARGUMENT for malformed limits.
   */
  async updateResources(id: string, told: NonNullable<SandboxRecord['resources']>): Promise<void> {
    const { host } = this.#options;
    for (const key of ['overhead', 'resources'] as const) ociResources(told[key], key, host);
    const { id: fullId } = this.get(id);
    await this.#locks.run(fullId, async () => {
      const { record } = this.ready(fullId);
      await this.#records.put({ ...record, resources: { ...record.resources, ...told } });
    });
  }

  /** Removes the pod with all its containers, stopping it first (CRI RemovePodSandbox). No error when it does not exist. */
  async remove(id: string): Promise<void> {
    const record = lookupById('pod sandbox', this.#records.list(), id);
    if (record === undefined) return;
    await this.#locks.run(record.id, async () => {
      if (this.#records.get(record.id) === undefined) return;
      await this.#remove(record.id);
      this.#publish('deleted', record.id);
    });
  }

  async #remove(id: string): Promise<void> {
    await this.#stop(id);
    await this.#containers?.removeAll(id);
    const record = this.#records.get(id);
    if (record === undefined) return;
    const spec = this.#spec(record);
    await this.#provider(record.handler).remove(spec);
    await rm(spec.runDir, { recursive: true, force: true });
    await this.#records.delete(id);
    this.#names.release(id);
  }

  /**
   * Takes up what an earlier process left: adopts pods that still run, finishes what was half made or half stopped, ends
   * those a reboot took. Containers are recovered by their own service in between: `load`, then containers, then `recover`.
   */
  async load(): Promise<void> {
    await this.#records.load();
    for (const record of this.#records.list()) {
      this.#names.restore(podName(record.config), record.id);
      const provider = this.#backends.get(record.handler)?.sandboxes;
      const isOfThisBoot = record.bootId === this.#options.host.bootId;
      if (record.phase !== 'ready' || provider === undefined || !isOfThisBoot) continue;
      const placement = await provider.inspect(this.#spec(record));
      if (placement !== undefined) this.#placements.set(record.id, placement);
    }
  }

  /**
   * Looks after the networks of the pods until `signal` fires, and repeats stops that failed until then. Called once, after
   * {@link recover}.
   */
  async keep(signal: AbortSignal): Promise<void> {
    this.#stopRetries.start(signal);
    const placement = (id: string) => this.#placements.get(id);
    const networks = new Set([...this.#backends.values()].map(({ network }) => network));
    await Promise.all(
      [...networks].map((network) => {
        const records = () =>
          this.#records.list().filter(({ handler }) => this.#backends.get(handler)?.network === network);
        return keepNetworks({ ...this.#options, network, records, placement }, signal);
      }),
    );
  }

  /** The second half of taking up; see {@link load}. A pod that cannot be put in order is reported and left for a later try. */
  async recover(): Promise<void> {
    for (const record of this.#records.list()) {
      try {
        if (record.phase === 'creating') {
          this.#logger.info('Removing a pod whose creation was interrupted', { sandbox: record.id });
          await this.#locks.run(record.id, () => this.#remove(record.id));
        } else if (!this.#placements.has(record.id)) {
          const level = record.phase === 'ready' ? 'warn' : 'debug';
          // Also what is stopped already: its stop may have been cut off anywhere, and to repeat it does nothing.
          this.#logger[level]('Stopping a pod that does not run, to the end', { sandbox: record.id });
          await this.stop(record.id);
        }
      } catch (error) {
        this.#logger.error('Cannot put a pod in order', { sandbox: record.id, error: messageOf(error) });
        // From now on the kubelet sees it and removes it.
        if (this.#records.get(record.id)?.phase === 'creating') await this.#leave(record.id);
      }
    }
    const known = (id: string) => this.#records.get(id) !== undefined;
    const spec = (record: SandboxRecord) => this.#spec(record);
    const parts = { known, spec, runDir: (id: string) => this.#runDir(id), logger: this.#logger };
    for (const backend of this.#backends.values()) await discardOrphans(backend.sandboxes, { ...backend, ...parts });
  }

  /** A sandbox ended by itself or by somebody else's hand. */
  async #ended(id: string): Promise<void> {
    try {
      if (this.#records.get(id)?.phase !== 'ready') return;
      this.#logger.warn('A pod ended without having been stopped', { sandbox: id });
      await this.stop(id);
    } catch (error) {
      this.#logger.error('Cannot clean up a pod that ended', { sandbox: id, error: messageOf(error) });
    }
  }

  #spec(record: SandboxRecord): SandboxSpec {
    return sandboxSpec(record, { runDir: this.#runDir(record.id), defaultCgroupParent: this.#options.cgroupParent });
  }

  #runDir(id: string): string {
    return join(this.#options.state, 'sandboxes', id);
  }

  #provider(handler: string): SandboxProvider {
    return this.#backend(handler).sandboxes;
  }

  #backend(handler: string): Backend {
    const backend = this.#backends.get(handler);
    if (backend === undefined) {
      const known = [...this.#backends.keys()].join(', ');
      throw invalidArgument('runtime_handler', `no handler ${JSON.stringify(handler)}: use one of ${known}`);
    }
    return backend;
  }

  #publish(kind: 'started' | 'stopped' | 'deleted', id: string): void {
    this.#options.events.publish({ kind, containerId: id, sandboxId: id, at: this.#options.clock.now() });
  }
}
