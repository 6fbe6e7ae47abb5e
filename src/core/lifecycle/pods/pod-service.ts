import { isDeepStrictEqual } from 'node:util';
import { KeyedLock } from '../../../utils/async/keyed-lock.ts';
import { Undo } from '../../../utils/async/undo.ts';
import type { Backend } from '../../model/backend.ts';
import type { ContainerStreams } from '../../model/container-runner.ts';
import { failedPrecondition, invalidArgument, unimplemented } from '../../model/errors.ts';
import { messageOf } from '../../../utils/errors.ts';
import type { Logger } from '../../model/logger.ts';
import type { PodSpec } from '../../model/pod-spec.ts';
import { mergeLimits } from '../../model/resources.ts';
import type { ResourceLimits } from '../../model/resources.ts';
import type { SandboxRecord } from '../../model/sandbox.ts';
import type { Placement, SandboxProvider, SandboxReference, SandboxStatus } from '../../model/sandbox-provider.ts';
import type { ContainerEventKind } from '../events/event-hub.ts';
import { findById, lookupById, newId } from '../ids.ts';
import { NameRegistry } from '../names.ts';
import { RecordStore } from '../records/record-store.ts';
import { withoutId } from '../without-id.ts';
import { attachNetwork } from './attach-network.ts';
import { keepNetworks } from './network-upkeep.ts';
import { Retries } from './retries.ts';
import type { PodServiceOptions } from './pod-options.ts';
import { adoptPods, endLostPods, settlePod, settlePods } from './recover-pods.ts';
import type { RecoveryParts } from './recover-pods.ts';
import { podName, sandboxSchema } from './sandbox-record.ts';
import { networkNamespace, networkRequest, sandboxReference } from './sandbox-spec.ts';
import { checkUserNamespace, startSandbox } from './start-sandbox.ts';

/** Kubernetes' size of a pod's /dev/shm. */
const SHM_BYTES = 64 * 1024 * 1024;

/** A running pod, as containers are placed in it. */
export interface ReadyPod {
  record: SandboxRecord;
  placement: Placement;
  backend: Backend;
}

/** The life cycle of pod sandboxes: run, stop, remove, find, and take up again after a restart. */
export class PodService {
  readonly #options: PodServiceOptions;
  readonly #records: RecordStore<SandboxRecord>;
  readonly #names = new NameRegistry('pod sandbox');
  readonly #locks = new KeyedLock();
  readonly #backends: ReadonlyMap<string, Backend>;
  readonly #logger: Logger;
  readonly #stopRetries: Retries;
  /** Pods that an earlier process left and that do not run. */
  #unsettled: readonly string[] = [];

  constructor(options: PodServiceOptions) {
    this.#options = options;
    this.#logger = options.logger;
    this.#backends = new Map(options.backends.map((backend) => [backend.sandboxes.handler, backend]));
    this.#records = new RecordStore('sandboxes', options.records, {
      ...options,
      schema: sandboxSchema(options.stored),
    });
    this.#stopRetries = new Retries((id) => this.stop(id), options);
    for (const { sandboxes } of options.backends) sandboxes.onExit((id, reason) => void this.#ended(id, reason));
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
    const status = this.#status(record);
    if (status.state !== 'running') {
      throw failedPrecondition(
        `pod sandbox ${record.id} is not ready, ${status.reason}: containers cannot be created or started`,
      );
    }
    return { record, placement: status.placement, backend: this.#backend(record.handler) };
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

  /** The provider's own facts about a pod, for people. */
  async describe(record: SandboxRecord): Promise<Record<string, unknown>> {
    return this.#backends.get(record.handler)?.sandboxes.describe(this.#reference(record)) ?? {};
  }

  /**
   * The backend of a pod, also of one that has ended. A pod without a record, whose file was lost, is taken
   * for the default handler's. @throws CriError INVALID_ARGUMENT when its handler is not configured any more.
   */
  backendOf(sandboxId: string): Backend {
    return this.#backend(this.#records.get(sandboxId)?.handler ?? this.#options.defaultHandler);
  }

  /** Every backend. */
  backends(): readonly Backend[] {
    return this.#options.backends;
  }

  /**
   * Makes and starts a pod (CRI RunPodSandbox) and returns its id. A repeat of a request that succeeded, or that is still
   * under way, gives the first attempt's pod. Nothing stays when it fails.
   * @param request kept for whoever parsed it; two requests are the same when theirs are equal.
   * @throws CriError INVALID_ARGUMENT for an unknown handler, UNIMPLEMENTED, ALREADY_EXISTS, UNAVAILABLE.
   */
  async run(spec: PodSpec, request: unknown, handler: string): Promise<string> {
    const { sandboxes: provider, platform } = this.#backend(handler || this.#options.defaultHandler);
    if (spec.selinux !== undefined && platform.facts.selinux)
      throw unimplemented('config.linux.security_context.selinux_options: SELinux');
    await checkUserNamespace(spec, platform);
    const name = podName(spec.metadata);
    return this.#locks.run(`name:${name}`, async () => {
      const earlier = this.#names.owner(name);
      const existing = earlier === undefined ? undefined : this.#records.get(earlier);
      if (
        existing?.phase === 'ready' &&
        existing.handler === provider.handler &&
        isDeepStrictEqual(existing.request, request)
      ) {
        return existing.id;
      }
      // Nobody makes it any more, since this name is locked: an earlier process was cut off, and settling takes its time.
      if (existing?.phase === 'creating') await settlePod(existing.id, this.#recovery());
      const id = newId();
      this.#names.reserve(name, id);
      const record: SandboxRecord = {
        id,
        handler: provider.handler,
        spec,
        request,
        phase: 'creating',
        createdAt: this.#options.clock.now(),
        bootId: platform.facts.bootId,
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
          this.#logger.error('Cannot undo a step of RunPodSandbox', {
            podSandboxId: id,
            what,
            error: messageOf(failure),
          });
        });
        if (left.length > 0) await this.#leave(id);
        throw withoutId(error, id);
      }
      this.#publish('created', id);
      this.#publish('started', id);
      return id;
    });
  }

  /** A pod that cannot be cleared away yet: shown as NOTREADY, so that the kubelet removes it, and tried again here too. */
  async #leave(id: string): Promise<void> {
    const record = this.#records.get(id);
    if (record === undefined) return this.#names.release(id);
    await this.#records.settle({ ...record, phase: 'stopped' });
    this.#stopRetries.schedule(id);
  }

  async #create(record: SandboxRecord, provider: SandboxProvider, undo: Undo): Promise<void> {
    const { network, platform } = this.#backend(record.handler);
    const directories = platform.podDirectories;
    const { spec } = this.#reference(record);
    await this.#records.put(record);
    undo.add('remove its directory', () => directories.remove(record.id));
    await directories.make(record.id);
    const reference = (half: SandboxRecord) => this.#reference(half);
    const keep = (half: SandboxRecord) => this.#records.put(half);
    const { record: made, placement } = await startSandbox(provider, record, { reference, keep }, undo);
    const attaching =
      spec.network === 'pod' ? attachNetwork(network, { record: made, placement }, keep, undo) : undefined;
    const attachment = await attaching;
    undo.add('unmount its files', () => directories.unmountFiles(record.id));
    await directories.writeFiles(record.id, {
      dns: record.spec.dns,
      hostname: spec.hostname,
      ips: attachment?.ips ?? [],
      hostNetwork: spec.network === 'node',
      owner: spec.userNamespace?.hostId ?? 0,
      shmBytes: spec.ipc === 'pod' ? SHM_BYTES : undefined,
    });
    await this.#records.put({ ...made, phase: 'ready', ...(attachment !== undefined && { network: attachment }) });
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
    if (wasReady) await this.#records.settle({ ...record, phase: 'stopped' });
    await this.#options.events.step('ending', id);
    const provider = this.#provider(record.handler);
    const sandbox = this.#reference(record);
    try {
      if (record.network !== undefined) {
        const netns = networkNamespace(await provider.adopt(sandbox));
        await this.#backend(record.handler).network.detach(networkRequest(record, netns), record.network);
      }
      await provider.stop(sandbox);
    } catch (error) {
      await this.#leave(id);
      if (wasReady) this.#publish('stopped', id);
      throw error;
    }
    await this.#backend(record.handler).platform.podDirectories.unmountFiles(id);
    if (record.phase === 'stopped' && record.network === undefined) return;
    const stopped: SandboxRecord = { ...record, phase: 'stopped' };
    // The addresses stay readable in the status of a stopped pod only while the network holds them.
    delete stopped.network;
    await this.#records.settle(stopped);
    if (wasReady) this.#publish('stopped', id);
  }

  /**
   * Notes the limits of a whole pod (CRI UpdatePodSandboxResources). The pod's own cgroup, which is the parent of the one
   * made here, belongs to the kubelet, and it has written the limits there itself: they must not be written twice.
   * @throws CriError NOT_FOUND, FAILED_PRECONDITION when the pod is not READY.
   */
  async updateResources(id: string, told: { overhead?: ResourceLimits; resources?: ResourceLimits }): Promise<void> {
    const { id: fullId } = this.get(id);
    await this.#locks.run(fullId, async () => {
      const { record } = this.ready(fullId);
      const spec = { ...record.spec };
      for (const key of ['overhead', 'resources'] as const) {
        const update = told[key];
        if (update !== undefined) spec[key] = mergeLimits(spec[key], update);
      }
      await this.#records.put({ ...record, spec });
    });
  }

  /** Removes the pod with all its containers, stopping it first (CRI RemovePodSandbox). No error when it does not exist. */
  async remove(id: string): Promise<void> {
    const record = lookupById('pod sandbox', this.#records.list(), id);
    if (record === undefined) return;
    await this.#locks.run(record.id, async () => {
      if (this.#records.get(record.id) === undefined) return;
      await this.#remove(record.id);
      this.#publish('deleted', record.id, { ...record, phase: 'stopped' });
    });
  }

  async #remove(id: string): Promise<void> {
    await this.#stop(id);
    await this.#options.events.step('removing', id);
    const record = this.#records.get(id);
    if (record === undefined) return;
    await this.#provider(record.handler).remove(this.#reference(record));
    await this.#backend(record.handler).platform.podDirectories.remove(id);
    await this.#records.delete(id);
    this.#names.release(id);
  }

  /**
   * Takes up what an earlier process left: adopts pods that still run, finishes what was half made or half stopped, ends
   * those a reboot took. Containers are recovered by their own service in between: `load`, then containers, then `recover`.
   */
  async load(): Promise<void> {
    await this.#records.load();
    for (const record of this.#records.list()) this.#names.restore(podName(record.spec.metadata), record.id);
    await adoptPods(this.#recovery());
  }

  /**
   * Looks after the networks of the pods until `signal` fires, and repeats stops that failed until then. Called once, after
   * {@link recover}.
   */
  async keep(signal: AbortSignal): Promise<void> {
    this.#stopRetries.start(signal);
    const status = (record: SandboxRecord) => this.#status(record);
    const networks = new Set([...this.#backends.values()].map(({ network }) => network));
    await Promise.all(
      [...networks].map((network) => {
        const records = () =>
          this.#records.list().filter(({ handler }) => this.#backends.get(handler)?.network === network);
        return keepNetworks({ ...this.#options, network, records, status }, signal);
      }),
    );
  }

  /**
   * The second half of adopting; see {@link load}: pods that do not run any more are NOTREADY from here on. Nothing is
   * stopped, and no network is asked: that is for {@link settle}.
   */
  async recover(): Promise<void> {
    this.#unsettled = await endLostPods(this.#recovery());
  }

  /**
   * Finishes what {@link recover} found unfinished, and removes what no record knows; see {@link settlePods}. Done while the
   * server serves: a CNI plugin may take minutes, and may itself need a pod.
   */
  async settle(): Promise<void> {
    await settlePods(this.#unsettled, this.#recovery());
  }

  #recovery(): RecoveryParts {
    return {
      records: this.#records,
      backends: this.#backends,
      reference: (record) => this.#reference(record),
      isRunning: (record) => this.#status(record).state === 'running',
      stop: (id) => this.stop(id),
      removeHalf: (id) => this.#locks.run(id, () => this.#remove(id)),
      leave: (id) => this.#leave(id),
      ended: (id) => this.#publish('stopped', id),
      logger: this.#logger,
    };
  }

  /** A sandbox ended by itself or by somebody else's hand. */
  async #ended(id: string, reason: string): Promise<void> {
    try {
      if (this.#records.get(id)?.phase !== 'ready') return;
      this.#logger.warn('A pod ended without having been stopped', { podSandboxId: id, reason });
      await this.stop(id);
    } catch (error) {
      this.#logger.error('Cannot clean up a pod that ended', { podSandboxId: id, error: messageOf(error) });
    }
  }

  /** Whether a pod runs, by its record and by what its provider knows. */
  #status(record: SandboxRecord): SandboxStatus {
    if (record.phase !== 'ready') return { state: 'ended', reason: 'it was stopped' };
    return this.#provider(record.handler).status(this.#reference(record));
  }

  #reference(record: SandboxRecord): SandboxReference {
    return sandboxReference(record, this.#backend(record.handler).platform.podDirectories.path(record.id));
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

  #publish(kind: ContainerEventKind, id: string, sandbox?: SandboxRecord): void {
    const at = this.#options.clock.now();
    this.#options.events.publish({
      kind,
      containerId: id,
      sandboxId: id,
      at,
      ...(sandbox !== undefined && { sandbox }),
    });
  }
}
