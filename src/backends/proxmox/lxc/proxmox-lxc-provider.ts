import { mkdir, readFile, rm } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { CriError, StatusCode, unavailable } from '../../../core/model/errors.ts';
import type { Logger } from '../../../core/model/logger.ts';
import type { SandboxUsage } from '../../../core/model/resource-usage.ts';
import type {
  HandlerFeatures,
  Placement,
  SandboxHandle,
  SandboxProvider,
  SandboxReference,
  SandboxSpec,
  SandboxStatus,
} from '../../../core/model/sandbox-provider.ts';
import { createCgroup } from '../../../host/cgroup/create.ts';
import { findNamespaceInit } from '../../../host/cgroup/namespace-init.ts';
import { killCgroup } from '../../../host/cgroup/processes.ts';
import { destroyCgroup } from '../../../host/cgroup/remove.ts';
import { run } from '../../../host/processes/run.ts';
import { isErrno, messageOf } from '../../../utils/errors.ts';
import { writeFileAtomic } from '../../../utils/fs/atomic.ts';
import { namesIn } from '../../../utils/fs/names.ts';
import { pin, unpin } from '../../../host/mounts/namespace-pin.ts';
import { openDirectory } from '../../pause-rootfs.ts';
import type { ProxmoxNode } from '../../proxmox-node.ts';
import { heldNamespaces, networkPin } from '../../sandbox-namespaces.ts';
import { checkSandboxId, checkSandboxSpec, isSandboxId, missingDirectory } from '../../sandbox-spec.ts';
import { sandboxUsage } from '../../sandbox-usage.ts';
import { SandboxWatch } from '../../sandbox-watch.ts';
import { PodGuests } from '../guests/pod-guests.ts';
import type { PodNetworks } from '../network/pod-networks.ts';
import { isWarmId } from '../../../core/model/warm-id.ts';
import { addConfigLines } from './files/config-lines.ts';
import { boundOf, includeLine } from './files/guest-files.ts';
import { guestCgroups, type GuestCgroups, memoryLimit } from './guest-cgroups.ts';
import { endOfUnits } from './guest-units.ts';
import { guestMemory, MIB } from './settings/guest-memory.ts';
import { GuestSettings } from './settings/guest-settings.ts';
import { type GuestHandle, guestHandle } from './handle.ts';
import { GuestMaker } from './guest-maker.ts';
import { checkMapping } from './id-mapping.ts';
import { furnish } from './warm/claim.ts';
import { warmCgroup, warmDirectory } from './warm/warm-guest.ts';
import { WarmGuests } from './warm/warm-guests.ts';
import { GuestPool } from './warm/warm-pool.ts';
import { changesFor, type Settings, warmSettings } from './warm/warm-settings.ts';
import { connectMonitor, endOf } from './monitor-socket.ts';
import { Template } from './files/template.ts';

const PCT_MS = 60_000;

export interface ProxmoxLxcProviderOptions {
  proxmox: ProxmoxNode;
  /** Absolute path of the handler's directory, which a reboot empties; created when missing. */
  directory: string;
  /** A statically linked init with a pause mode `-P`. */
  init: string;
  /** Patterns of the namespaces whose pods may choose settings of their guests. */
  annotationNamespaces: readonly string[];
  /** Has the addresses of pods, also of those that were run while Proxmox VE managed the network. */
  networks: PodNetworks;
  /** Whether Proxmox VE manages the network of new pods. */
  managesNetwork: boolean;
  /** How many guests are started ahead of their pods. */
  warmPoolSize: number;
  logger: Logger;
}

/**
 * The handler `proxmox-lxc`: a pod is one container of Proxmox VE, made and removed through its API, which owns the pod's
 * namespaces and cgroup. Everything between create and remove happens on this node without the API but for the start.
 */
export class ProxmoxLxcSandboxProvider implements SandboxProvider {
  readonly handler = 'proxmox-lxc';
  readonly features: HandlerFeatures = { recursiveReadOnlyMounts: true, userNamespaces: true };
  readonly #proxmox: ProxmoxNode;
  readonly #directory: string;
  readonly #guests: PodGuests;
  readonly #networks: PodNetworks;
  readonly #managesNetwork: boolean;
  readonly #settings: GuestSettings;
  readonly #maker: GuestMaker;
  readonly #warmSettings: Settings;
  readonly warmPool: GuestPool;
  readonly #watch: SandboxWatch;
  readonly #logger: Logger;

  constructor(options: ProxmoxLxcProviderOptions) {
    const { proxmox, directory, init, annotationNamespaces, networks, managesNetwork, warmPoolSize, logger } = options;
    this.#proxmox = proxmox;
    this.#networks = networks;
    this.#managesNetwork = managesNetwork;
    this.#directory = directory;
    const claim = (vmid: number, owner: string) => this.#claim(vmid, owner);
    this.#guests = new PodGuests({ proxmox, kind: 'lxc', claim, endOfUnits, logger });
    const { handler } = this;
    this.#settings = new GuestSettings({ handler, pools: proxmox.pools, annotationNamespaces, logger });
    const template = new Template(init);
    const guests = this.#guests;
    const maker = new GuestMaker({ proxmox, guests, template, logger });
    this.#maker = maker;
    const warmOnes = warmSettings(this.#settings, handler);
    this.#warmSettings = warmOnes;
    const warm = new WarmGuests({ proxmox, guests, maker, template, settings: warmOnes, directory });
    this.warmPool = new GuestPool({ size: managesNetwork ? 0 : warmPoolSize, guests, warm, directory, logger });
    this.#watch = new SandboxWatch(logger);
    this.#logger = logger;
  }

  unavailableBecause(): Promise<string | undefined> {
    return this.#guests.unavailableBecause();
  }

  async create(
    spec: SandboxSpec,
    progress: (handle: SandboxHandle) => Promise<void>,
    signal?: AbortSignal,
  ): Promise<SandboxReference> {
    checkSandboxSpec(spec);
    const { tags, ...settings } = this.#settings.of(spec);
    const hasCard = this.#managesNetwork && spec.network === 'pod';
    if (hasCard) this.#networks.check(spec);
    await checkMapping(spec.userNamespace);
    const cgroups = await guestCgroups(spec);
    let handle: GuestHandle = { directory: `${this.#directory}/${spec.id}` };
    await progress({ ...handle });
    const earlier = { spec, handle: { ...(await this.#handle({ spec })) } };
    if ((await this.adopt(earlier)).state === 'running') {
      await progress(earlier.handle);
      return earlier;
    }
    await this.remove(earlier);
    signal?.throwIfAborted();
    const warm = hasCard
      ? undefined
      : await this.#claimWarm(spec, { ...settings, tags }, { cgroups, progress, signal });
    if (warm !== undefined) return { spec, handle: { ...warm } };
    await this.#makeDirectory(spec, handle);
    await mkdir(boundOf(handle.directory));
    await createCgroup(cgroups.monitor);
    const card = hasCard ? { net0: await this.#networks.card(spec) } : {};
    await this.#maker.make({
      owner: spec.id,
      namespaces: spec,
      directory: handle.directory,
      cgroupOf: () => ({ path: cgroups.pod, directory: cgroups.podDirectory }),
      settings: { ...settings, ...card, memory: await memoryOf(cgroups) },
      tags,
      ...(hasCard && { secure: (vmid: number) => this.#networks.secure(vmid, spec.pod.namespace) }),
      progress: async (reserved, task) => {
        handle = { directory: handle.directory, vmid: reserved, ...(task !== undefined && { task }) };
        await progress({ ...handle });
      },
      signal,
    });
    return { spec, handle: { ...handle } };
  }

  async start(sandbox: SandboxReference, signal?: AbortSignal): Promise<Placement> {
    const earlier = await this.adopt(sandbox);
    if (earlier.state === 'running') return earlier.placement;
    const { spec } = sandbox;
    const { directory, vmid } = await this.#handle(sandbox);
    if (vmid === undefined) throw new CriError(StatusCode.INTERNAL, 'the pod has no guest');
    const cgroups = await guestCgroups(spec);
    const init = await this.#maker.start(vmid, directory, cgroups.podDirectory, signal);
    if (spec.network === 'pod') await pin(`/proc/${String(init)}/ns/net`, networkPin(spec));
    const status = await this.adopt(sandbox);
    if (status.state === 'running') return status.placement;
    throw new CriError(StatusCode.INTERNAL, `CT ${String(vmid)} exited immediately: ${status.reason}`);
  }

  async adopt(sandbox: SandboxReference): Promise<SandboxStatus> {
    const { spec } = sandbox;
    checkSandboxId(spec.id);
    const { vmid } = await this.#handle(sandbox);
    const cgroups = await guestCgroups(spec);
    const pid = initOf(cgroups);
    const reason = pid === undefined ? 'its guest is not running' : await missingDirectory(spec);
    const namespaces = heldNamespaces(spec, pid);
    if (pid === undefined || vmid === undefined || reason !== undefined) {
      const { network: networkNamespace } = namespaces;
      return { state: 'ended', reason: reason ?? '', ...(networkNamespace !== undefined && { networkNamespace }) };
    }
    const placement = {
      namespaces,
      cgroup: cgroups.pod,
      monitorCgroup: cgroups.monitor,
      guest: vmid,
    };
    this.#watch.follow(spec, placement, {
      connect: () => connectMonitor(vmid),
      alive: () => Promise.resolve(initOf(cgroups) !== undefined),
    });
    return { state: 'running', placement };
  }

  status({ spec }: SandboxReference): SandboxStatus {
    return this.#watch.status(spec.id);
  }

  async describe(sandbox: SandboxReference): Promise<Record<string, unknown>> {
    const cgroups = await guestCgroups(sandbox.spec);
    const pid = initOf(cgroups);
    const { vmid, warm } = await this.#handle(sandbox);
    return {
      provider: this.handler,
      node: this.#proxmox.name,
      ...(vmid !== undefined && { vmid }),
      ...(warm !== undefined && { origin: 'warm pool' }),
      running: pid !== undefined,
      ...(pid !== undefined && { pid }),
      cgroup: cgroups.pod,
      monitorCgroup: cgroups.monitor,
    };
  }

  usage(sandbox: SandboxReference): Promise<SandboxUsage> {
    return sandboxUsage(sandbox.spec, this.status(sandbox));
  }

  /**
   * The guest's memory follows that of the kubelet's cgroup, which the kubelet has changed before. A change of something else
   * costs no call, so that a lock of the guest does not hinder it.
   */
  async update(sandbox: SandboxReference): Promise<void> {
    const { vmid, warm } = await this.#handle(sandbox);
    if (vmid === undefined) return;
    const cgroups = await guestCgroups(sandbox.spec);
    const memory = await memoryOf(cgroups);
    const directory = warm === undefined ? cgroups.podDirectory : (await warmCgroup(vmid)).directory;
    if (memory * MIB === (await memoryLimit(directory))) return;
    await this.#guests.configure(vmid, { memory });
  }

  /** Ends the pod without the API: it succeeds whatever lock the guest has, and without quorum. */
  async stop(sandbox: SandboxReference): Promise<void> {
    const { spec } = sandbox;
    checkSandboxId(spec.id);
    this.#watch.forget(spec.id);
    const { podDirectory } = await guestCgroups(spec);
    const { vmid, warm } = await this.#handle(sandbox);
    const own = vmid === undefined || warm === undefined ? [] : [(await warmCgroup(vmid)).directory];
    // Before: liblxc's monitor takes no new connection while it runs Proxmox's hooks, but closes older ones after them.
    const [monitor] = await Promise.allSettled([vmid === undefined ? undefined : connectMonitor(vmid)]);
    await killCgroup([podDirectory, ...own]);
    if (monitor.status === 'rejected') throw monitor.reason;
    if (monitor.value !== undefined) await endOf(monitor.value);
    await unpin(networkPin(spec));
  }

  async remove(sandbox: SandboxReference): Promise<void> {
    await this.#remove(sandbox);
  }

  /** @returns what is left of the guest under its VMID, in words. */
  async #remove(sandbox: SandboxReference): Promise<string[]> {
    await this.stop(sandbox);
    const { directory, warm, ...known } = await this.#handle(sandbox);
    // Before its VMID is another guest's.
    if (warm !== undefined && known.vmid !== undefined) await destroyCgroup([(await warmCgroup(known.vmid)).directory]);
    const left = await this.#guests.remove(sandbox.spec.id, known);
    await this.#networks.release(sandbox.spec.id);
    if (warm !== undefined) await rm(this.#warmDirectory(warm), { recursive: true, force: true });
    const { podDirectory, monitorDirectory } = await guestCgroups(sandbox.spec);
    await destroyCgroup([podDirectory, monitorDirectory]);
    await rm(directory, { recursive: true, force: true });
    return left;
  }

  async release(sandbox: SandboxReference): Promise<void> {
    const { id } = sandbox.spec;
    // Without an entry it has gone with an earlier start of the server.
    if ((await this.#guests.vmidOf(id)) !== undefined) await this.#guests.remove(id, await this.#handle(sandbox));
    await this.#networks.release(id);
  }

  async discard(sandboxId: string): Promise<void> {
    checkSandboxId(sandboxId);
    const directory = `${this.#directory}/${sandboxId}`;
    const text = await readFile(`${directory}/sandbox.json`, 'utf8').catch((error: unknown) => {
      if (isErrno(error, 'ENOENT')) return undefined;
      throw error;
    });
    const left =
      text === undefined
        ? await this.#guests.remove(sandboxId)
        : await this.#remove({ spec: JSON.parse(text) as SandboxSpec });
    await this.#networks.release(sandboxId);
    await rm(directory, { recursive: true, force: true });
    // Nobody else knows of it: the map has it until it is gone.
    if (left.length > 0) throw unavailable(`its VMID is not free yet: ${left.join(', ')}`);
  }

  async list(): Promise<string[]> {
    const found = [namesIn(this.#directory), this.#guests.owners(), this.#networks.owners()];
    return [...new Set((await Promise.all(found)).flat())].filter(isSandboxId);
  }

  onExit(listener: (sandboxId: string, reason: string) => void): () => void {
    return this.#watch.onExit(listener);
  }

  /** Takes a guest that was started ahead; undefined where none fits the pod, or none is ready. */
  async #claimWarm(
    spec: SandboxSpec,
    settings: Settings,
    {
      cgroups,
      progress,
      signal,
    }: { cgroups: GuestCgroups; progress: (handle: SandboxHandle) => Promise<void>; signal: AbortSignal | undefined },
  ): Promise<GuestHandle | undefined> {
    const changes = changesFor(spec, settings, this.#warmSettings);
    const guest = changes && this.warmPool.take();
    if (changes === undefined || guest === undefined) return undefined;
    const { id: warm, vmid } = guest;
    await this.#guests.claim(vmid, warm, spec.id);
    const handle: GuestHandle = { directory: `${this.#directory}/${spec.id}`, vmid, warm };
    await progress({ ...handle });
    try {
      await this.#guests.configure(vmid, { ...changes, memory: await memoryOf(cgroups) });
    } catch (error) {
      // What may have been changed is the pod's, and is removed with it.
      if (this.#proxmox.isUncertain(error)) throw error;
      await this.#guests.unclaim(vmid, warm);
      await progress({ directory: handle.directory });
      const isForAll = error instanceof CriError && error.code === StatusCode.UNAVAILABLE;
      if (isForAll) this.warmPool.giveBack(guest);
      else this.warmPool.giveUp(guest);
      if (isForAll && !(await this.#guests.isQuorate().catch(() => true)))
        throw unavailable(`no quorum: ${messageOf(error)}`, error);
      if (isForAll) throw error;
      this.#logger.warn('A guest of the warm pool could not be changed', { vmid, error: messageOf(error) });
      return undefined;
    }
    guest.monitor.destroy();
    await this.#makeDirectory(spec, handle);
    await furnish(spec, { vmid, directory: this.#warmDirectory(warm), cgroups }, signal);
    return handle;
  }

  async #makeDirectory(spec: SandboxSpec, { directory }: GuestHandle): Promise<void> {
    await openDirectory(this.#directory);
    await mkdir(directory, { mode: 0o700 });
    await writeFileAtomic(`${directory}/sandbox.json`, JSON.stringify(spec));
  }

  /** First that it is the pod's, so that it is still known to be when what follows fails; see pct(1) for the lock. */
  async #claim(vmid: number, owner: string): Promise<void> {
    const directory = isWarmId(owner) ? this.#warmDirectory(owner) : `${this.#directory}/${owner}`;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await addConfigLines(this.#proxmox.name, vmid, `${includeLine(directory)}\n`, `${directory}/lines`);
    await run('pct', ['unlock', String(vmid)], { timeoutMs: PCT_MS });
  }

  async #handle({ spec, handle }: SandboxReference): Promise<GuestHandle> {
    const { vmid: recorded, ...known } = guestHandle(handle, `${this.#directory}/${spec.id}`);
    const vmid = await this.#guests.vmidOf(spec.id, recorded);
    // The record of a claim that was cut off has neither.
    const warm = known.warm ?? (recorded === undefined ? await this.#guests.warmIdOf(spec.id) : undefined);
    return { ...known, ...(vmid !== undefined && { vmid }), ...(warm !== undefined && { warm }) };
  }

  #warmDirectory(id: string): string {
    return `${warmDirectory(this.#directory)}/${id}`;
  }
}

async function memoryOf(cgroups: GuestCgroups): Promise<number> {
  return guestMemory(await memoryLimit(cgroups.parentDirectory), totalmem());
}

function initOf({ initDirectory }: GuestCgroups): number | undefined {
  return findNamespaceInit([initDirectory]);
}
