import { access, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { CriError, StatusCode, unavailable } from '../../../core/model/errors.ts';
import type { Logger } from '../../../core/model/logger.ts';
import type { ResourceUsage } from '../../../core/model/resource-usage.ts';
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
import { spareFromOomKiller } from '../../../host/processes/oom-score.ts';
import { isErrno } from '../../../utils/errors.ts';
import { writeFileAtomic } from '../../../utils/fs/atomic.ts';
import { namesIn } from '../../../utils/fs/names.ts';
import { hookProgram } from '../../hook-program.ts';
import { pin, unpin } from '../../namespace-pin.ts';
import { openDirectory } from '../../pause-rootfs.ts';
import type { ProxmoxNode } from '../../proxmox-node.ts';
import { heldNamespaces, networkPin } from '../../sandbox-namespaces.ts';
import { checkSandboxId, checkSandboxSpec, isSandboxId, missingDirectory } from '../../sandbox-spec.ts';
import { sandboxUsage } from '../../sandbox-usage.ts';
import { SandboxWatch } from '../../sandbox-watch.ts';
import { PodGuests } from '../guests/pod-guests.ts';
import type { PodNetworks } from '../network/pod-networks.ts';
import { addConfigLines } from './files/config-lines.ts';
import { guestCgroups, type GuestCgroups, memoryLimit } from './guest-cgroups.ts';
import { endOfUnits } from './guest-units.ts';
import { guestMemory, MIB } from './settings/guest-memory.ts';
import { GuestSettings } from './settings/guest-settings.ts';
import { type GuestHandle, guestHandle } from './handle.ts';
import { placeHookscript } from './files/hookscript.ts';
import { includeFile } from './files/include-file.ts';
import { checkMapping } from './id-mapping.ts';
import { connectMonitor } from './monitor-socket.ts';
import { isSwallowed, startFailure, stillCleaning } from './start-failure.ts';
import { Template } from './files/template.ts';

const PCT_MS = 60_000;

/** Milliseconds for liblxc's monitor to run Proxmox's hooks after the guest's end. */
const MONITOR_MS = 10_000;

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
  readonly #template: Template;
  readonly #watch: SandboxWatch;
  readonly #logger: Logger;

  constructor(options: ProxmoxLxcProviderOptions) {
    const { proxmox, directory, init, annotationNamespaces, networks, managesNetwork, logger } = options;
    this.#proxmox = proxmox;
    this.#networks = networks;
    this.#managesNetwork = managesNetwork;
    this.#directory = directory;
    const claim = (vmid: number, owner: string) => this.#claim(vmid, owner);
    this.#guests = new PodGuests({ proxmox, kind: 'lxc', claim, endOfUnits, logger });
    const { handler } = this;
    this.#settings = new GuestSettings({ handler, pools: proxmox.pools, annotationNamespaces, logger });
    this.#template = new Template(init);
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
    const storages = await (await this.#proxmox.api()).storages.configs();
    const { ostemplate, rootfs } = await this.#template.place(storages, this.#proxmox);
    const hookscript = await placeHookscript(storages, this.#proxmox, this.#logger);
    await this.#makeDirectory(spec, handle);
    await createCgroup(cgroups.monitor);
    const card = hasCard ? { net0: await this.#networks.card(spec) } : {};
    const vmid = await this.#guests.create({
      owner: spec.id,
      settings: { ...settings, ...card, ostemplate, rootfs, memory: await memoryOf(cgroups) },
      progress: async (reserved, task) => {
        handle = { directory: handle.directory, vmid: reserved, ...(task !== undefined && { task }) };
        await progress({ ...handle });
      },
      signal,
    });
    if (hasCard) await this.#networks.secure(vmid, spec.pod.namespace);
    const include = includeFile(spec, {
      hasCard,
      native: hookProgram(),
      vmid,
      permit: permitOf(handle.directory),
      cgroup: cgroups.pod,
      cgroupDirectory: cgroups.podDirectory,
    });
    await writeFile(includeOf(handle.directory), include, { mode: 0o600 });
    const lines = configLines(spec, handle, { tags, hookscript });
    await addConfigLines(this.#proxmox.name, vmid, lines, `${handle.directory}/lines`);
    return { spec, handle: { ...handle } };
  }

  async start(sandbox: SandboxReference, signal?: AbortSignal): Promise<Placement> {
    const earlier = await this.adopt(sandbox);
    if (earlier.state === 'running') return earlier.placement;
    const { spec } = sandbox;
    const { directory, vmid } = await this.#handle(sandbox);
    if (vmid === undefined) throw new CriError(StatusCode.INTERNAL, 'the pod has no guest');
    const cgroups = await guestCgroups(spec);
    // Left by an earlier start, it would make liblxc refuse this one.
    await destroyCgroup([cgroups.podDirectory]);
    await writeFile(permitOf(directory), '', { mode: 0o600 });
    await this.#startGuest(vmid, permitOf(directory), signal).catch((error: unknown) => {
      throw startFailure(error);
    });
    const init = await initOf(cgroups);
    if (init === undefined) throw new CriError(StatusCode.INTERNAL, `CT ${String(vmid)} exited immediately`);
    await spareFromOomKiller([init]);
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
    const pid = await initOf(cgroups);
    const reason = pid === undefined ? 'its guest is not running' : await missingDirectory(spec);
    const namespaces = await heldNamespaces(spec, pid);
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
      alive: async () => (await initOf(cgroups)) !== undefined,
    });
    return { state: 'running', placement };
  }

  status({ spec }: SandboxReference): SandboxStatus {
    return this.#watch.status(spec.id);
  }

  async describe(sandbox: SandboxReference): Promise<Record<string, unknown>> {
    const cgroups = await guestCgroups(sandbox.spec);
    const pid = await initOf(cgroups);
    const { vmid } = await this.#handle(sandbox);
    return {
      provider: this.handler,
      node: this.#proxmox.name,
      ...(vmid !== undefined && { vmid }),
      running: pid !== undefined,
      ...(pid !== undefined && { pid }),
      cgroup: cgroups.pod,
      monitorCgroup: cgroups.monitor,
    };
  }

  usage({ spec }: SandboxReference): Promise<ResourceUsage | undefined> {
    return sandboxUsage(spec);
  }

  /**
   * The guest's memory follows that of the kubelet's cgroup, which the kubelet has changed before. A change of something else
   * costs no call, so that a lock of the guest does not hinder it.
   */
  async update(sandbox: SandboxReference): Promise<void> {
    const { vmid } = await this.#handle(sandbox);
    if (vmid === undefined) return;
    const cgroups = await guestCgroups(sandbox.spec);
    const memory = await memoryOf(cgroups);
    if (memory * MIB === (await memoryLimit(cgroups.podDirectory))) return;
    await this.#guests.configure(vmid, { memory });
  }

  /** Ends the pod without the API: it succeeds whatever lock the guest has, and without quorum. */
  async stop(sandbox: SandboxReference): Promise<void> {
    const { spec } = sandbox;
    checkSandboxId(spec.id);
    this.#watch.forget(spec.id);
    const { podDirectory } = await guestCgroups(spec);
    const { vmid } = await this.#handle(sandbox);
    // Before: liblxc's monitor takes no new connection while it runs Proxmox's hooks, but closes older ones after them.
    const [monitor] = await Promise.allSettled([vmid === undefined ? undefined : connectMonitor(vmid)]);
    await killCgroup([podDirectory]);
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
    const { directory, ...known } = await this.#handle(sandbox);
    const left = await this.#guests.remove(sandbox.spec.id, known);
    await this.#networks.release(sandbox.spec.id);
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

  /** A second time when the first was swallowed: then nothing has taken the permit. */
  async #startGuest(vmid: number, permit: string, signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.#guests.start(vmid, signal);
    } catch (error) {
      if (signal?.aborted || !isSwallowed(error) || !(await exists(permit))) throw error;
      const units = await endOfUnits(vmid);
      if (units.length > 0) throw stillCleaning(vmid, units, error);
      await this.#guests.start(vmid, signal);
    }
  }

  async #makeDirectory(spec: SandboxSpec, { directory }: GuestHandle): Promise<void> {
    await openDirectory(this.#directory);
    await mkdir(directory, { mode: 0o700 });
    await mkdir(boundOf(directory));
    await writeFileAtomic(`${directory}/sandbox.json`, JSON.stringify(spec));
  }

  /** First that it is the pod's, so that it is still known to be when what follows fails; see pct(1) for the lock. */
  async #claim(vmid: number, owner: string): Promise<void> {
    const directory = `${this.#directory}/${owner}`;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await addConfigLines(this.#proxmox.name, vmid, `${includeLine(directory)}\n`, `${directory}/lines`);
    await run('pct', ['unlock', String(vmid)], { timeoutMs: PCT_MS });
  }

  async #handle({ spec, handle }: SandboxReference): Promise<GuestHandle> {
    const { vmid: recorded, ...known } = guestHandle(handle, `${this.#directory}/${spec.id}`);
    const vmid = await this.#guests.vmidOf(spec.id, recorded);
    return { ...known, ...(vmid !== undefined && { vmid }) };
  }
}

/** The lines of the guest's configuration that the API sets for nobody, for root@pam alone, or for more privileges. */
function configLines(
  { userNamespace }: SandboxSpec,
  { directory }: GuestHandle,
  { tags, hookscript }: { tags: string; hookscript: string | undefined },
): string {
  const ids = userNamespace && ['u', 'g'].map((kind) => `${kind} 0 ${userNamespace.hostId} ${userNamespace.size}`);
  return [
    // For tags at its creation Proxmox wants VM.Config.Options on all guests, whatever the pool.
    `tags: ${tags}`,
    // Proxmox refuses to migrate a guest with a directory of the node, before it shuts it down.
    `mp0: ${boundOf(directory)},mp=/run/proxmox-lxcri,ro=1`,
    ...(hookscript === undefined ? [] : [`hookscript: ${hookscript}`]),
    ...(ids ?? []).map((range) => `lxc.idmap: ${range}`),
    includeLine(directory),
    '',
  ].join('\n');
}

function boundOf(directory: string): string {
  return `${directory}/bound`;
}

/** By it a guest is known as a pod's, too. */
function includeLine(directory: string): string {
  return `lxc.include: ${includeOf(directory)}`;
}

function includeOf(directory: string): string {
  return `${directory}/include.conf`;
}

/** The file that allows one start; see src/native/hook.c. */
function permitOf(directory: string): string {
  return `${directory}/permit`;
}

async function memoryOf(cgroups: GuestCgroups): Promise<number> {
  return guestMemory(await memoryLimit(cgroups.parentDirectory), totalmem());
}

function initOf({ initDirectory }: GuestCgroups): Promise<number | undefined> {
  return findNamespaceInit([initDirectory]);
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Waits until liblxc's monitor of a guest without processes has ended, for a while. */
async function endOf(socket: Socket): Promise<void> {
  const gone = new Promise<void>((resolve) => {
    socket.once('close', () => {
      resolve();
    });
  });
  await Promise.race([gone, sleep(MONITOR_MS, undefined, { ref: false })]);
  socket.destroy();
}
