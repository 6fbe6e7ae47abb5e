import { setTimeout as sleep } from 'node:timers/promises';
import { CriError, StatusCode } from '../../../core/model/errors.ts';
import type { Logger } from '../../../core/model/logger.ts';
import { messageOf } from '../../../utils/errors.ts';
import type { GuestConfig, GuestRef, GuestsApi, MarkedConfig } from '../../proxmox-api.ts';
import type { ProxmoxNode, ProxmoxTask } from '../../proxmox-node.ts';
import { ClusterTracer, type EndOfUnits } from './cluster-tracer.ts';
import { createGuest, LOOKS, SETTLE_MS } from './create-guest.ts';
import { describeTraces } from './guest-traces.ts';
import { ownerOf } from './owner-mark.ts';
import { VmidAllocator } from './vmid-allocator.ts';
import { marksOf, type VmidEntry, VmidMap } from './vmid-map.ts';
import { isWarmId } from '../../../core/model/warm-id.ts';

/** Milliseconds until what was left of a removed guest is looked for again. */
const SWEEP_MS = 30_000;
/** Of the parts of a task's id, which colons separate, the one that says whose it is. */
const USER_FIELD = 7;

/** What a pod's guest is made from. */
export interface GuestRequest {
  /** The pod's id. */
  owner: string;
  /** Keys of the configuration, as the API has them. */
  settings: Readonly<Record<string, string | number | boolean | undefined>>;
  /** Awaited with the VMID before Proxmox is asked, and with the task before it is waited for. */
  progress: (vmid: number, task?: ProxmoxTask) => Promise<void>;
  /** Ends the wait; the task goes on. */
  signal?: AbortSignal | undefined;
}

export interface PodGuestsOptions {
  proxmox: ProxmoxNode;
  kind: GuestRef['kind'];
  /**
   * Writes into the configuration of a guest whose create was cut off that it is the pod's, as its notes would, and removes its
   * lock. The API offers neither.
   */
  claim: (vmid: number, owner: string) => Promise<void>;
  endOfUnits: EndOfUnits;
  logger: Logger;
}

interface Parts {
  api: GuestsApi<ProxmoxTask>;
  map: VmidMap;
  allocator: VmidAllocator;
}

/**
 * The guests of pods on a node, of one kind: one create, one start and one destroy task each. Errors are those of the API, with
 * its codes.
 */
export class PodGuests {
  readonly #proxmox: ProxmoxNode;
  readonly #kind: GuestRef['kind'];
  readonly #logger: Logger;
  #parts: Promise<Parts> | undefined;
  readonly #claim: PodGuestsOptions['claim'];
  readonly #endOfUnits: EndOfUnits;
  #sweeping = false;

  constructor({ proxmox, kind, claim, endOfUnits, logger }: PodGuestsOptions) {
    this.#proxmox = proxmox;
    this.#kind = kind;
    this.#claim = claim;
    this.#endOfUnits = endOfUnits;
    this.#logger = logger;
  }

  /**
   * What of the configuration or this machine keeps guests from being made; undefined for nothing. A cluster that does not answer
   * or has no quorum is not asked: the pods of the node run on without it.
   */
  async unavailableBecause(): Promise<string | undefined> {
    try {
      await this.#open();
      return undefined;
    } catch (error) {
      return messageOf(error);
    }
  }

  /** Makes a pod's guest under the lowest free VMID of the node, which it resolves with; it is not started. */
  async create({ owner, settings, progress, signal }: GuestRequest): Promise<number> {
    const { api, map, allocator } = await this.#open();
    const { name: node, isUncertain } = this.#proxmox;
    return allocator.allocate(owner, async (vmid) => {
      await progress(vmid);
      const create: typeof api.guests.create = async (ref, values) => {
        const task = await api.guests.create(ref, values);
        if (isWarmId(owner)) await map.set(vmid, { owner, state: 'reserved', taken: true });
        await progress(vmid, task);
        return task;
      };
      const reporting = { guests: { create }, tasks: api.tasks, recheck: api.recheck };
      return createGuest(vmid, { api: reporting, isUncertain, node, kind: this.#kind, owner, settings, signal });
    });
  }

  /** Starts a guest and waits until it runs. */
  async start(vmid: number, signal?: AbortSignal): Promise<void> {
    const { api } = await this.#open();
    const ref = this.#ref(vmid);
    try {
      await api.tasks.follow(await api.guests.start(ref), { signal, ...LOOKS });
    } catch (error) {
      if (signal?.aborted || !this.#proxmox.isUncertain(error)) throw error;
      if ((await api.recheck.started(ref)) !== 'done') throw error;
    }
  }

  /** Changes keys of a guest's configuration, at once where it runs and Proxmox can. */
  async configure(vmid: number, set: Readonly<Record<string, string | number>>): Promise<void> {
    const { api } = await this.#open();
    await api.guests.configure(this.#ref(vmid), { set });
  }

  /**
   * Removes a pod's guest with everything that bears its VMID. No error when there is none; a guest that is not the pod's
   * is left alone, and the VMID is given up.
   * @param known what the pod's record says; without a VMID there, it is the one that the map has for the pod. With the task
   *   that made it, or one of this server's since its VMID was reserved, a guest that is not finished is the pod's as well.
   * @returns what is left of the guest all the same and keeps its VMID out of use, in words.
   * @throws as the API: FAILED_PRECONDITION for a guest that is locked or protected. The call may be repeated.
   */
  async remove(owner: string, known: { vmid?: number; task?: ProxmoxTask } = {}): Promise<string[]> {
    const { api, map, allocator } = await this.#open();
    const vmid = known.vmid ?? vmidIn(map, owner);
    if (vmid === undefined) return [];
    const entry = map.get(vmid) ?? { owner };
    if (entry.owner !== owner) return [];
    const ref = this.#ref(vmid);
    await this.#delete(api, ref, entry, known.task !== undefined || 'taken' in entry);
    let traces = await allocator.release(vmid);
    const mark = traces?.guest?.owner;
    const node = mark !== undefined && marksOf(entry).includes(mark) ? traces?.guest?.node : ref.node;
    if (node !== undefined && node !== ref.node) {
      // HA gives the guests of a node that it takes for dead to another one.
      await this.#delete(api, { ...ref, node }, entry);
      traces = await allocator.release(vmid);
    }
    if (traces === undefined) return [];
    this.#sweep();
    return describeTraces(traces);
  }

  /**
   * The VMID of a pod's guest.
   * @param recorded by the pod's record; one that another pod has now is not the pod's any more. Without it, the VMID of the map.
   */
  async vmidOf(owner: string, recorded?: number): Promise<number | undefined> {
    if (recorded === undefined) return vmidIn((await this.#open()).map, owner);
    // Without the API it is not known who else has it, and the pod can be stopped all the same.
    const entry = await this.#open().then(
      ({ map }) => map.get(recorded),
      () => undefined,
    );
    return (entry?.owner ?? owner) === owner ? recorded : undefined;
  }

  /** The pods that have a VMID, whether they have a guest or not. */
  async owners(): Promise<string[]> {
    const { map } = await this.#open();
    return map.entries().map(([, { owner }]) => owner);
  }

  /** The entries of guests that are started ahead of their pods. */
  async warm(): Promise<[vmid: number, entry: Readonly<VmidEntry>][]> {
    const { map } = await this.#open();
    return map.entries().filter(([, { owner }]) => isWarmId(owner));
  }

  /** The ids of all pods, and those that guests were started ahead with. */
  async marks(): Promise<Set<string>> {
    const { map } = await this.#open();
    return new Set(map.entries().flatMap(([, entry]) => marksOf(entry)));
  }

  /** The id that the guest of a pod was started ahead with; undefined for any other. */
  async warmIdOf(owner: string): Promise<string | undefined> {
    const { map } = await this.#open();
    return map.entries().find(([, entry]) => entry.owner === owner)?.[1].warm;
  }

  /** Durably gives a guest that was started ahead to a pod. */
  async claim(vmid: number, warm: string, owner: string): Promise<void> {
    await (await this.#open()).map.set(vmid, { owner, state: 'used', warm });
  }

  /** Takes a guest of {@link claim} back, to which nothing has been done for the pod. */
  async unclaim(vmid: number, warm: string): Promise<void> {
    await (await this.#open()).map.set(vmid, { owner: warm, state: 'used' });
  }

  /** Whether the cluster may change guests; true where the token may not ask. */
  async isQuorate(): Promise<boolean> {
    const { api } = await this.#open();
    try {
      return (await api.cluster.status()).every(({ quorate }) => quorate !== false);
    } catch (error) {
      if (hasCode(error, StatusCode.PERMISSION_DENIED)) return true;
      throw error;
    }
  }

  async #delete(
    api: GuestsApi<ProxmoxTask>,
    ref: GuestRef,
    owned: Pick<VmidEntry, 'owner' | 'warm' | 'since'>,
    wasTaken = false,
  ): Promise<void> {
    if (!(await this.#isThere(api, ref, owned, wasTaken))) return;
    try {
      await api.tasks.follow(await this.#askToDelete(api, ref), LOOKS);
    } catch (error) {
      if (isNotFound(error)) return;
      if (!this.#proxmox.isUncertain(error) || (await api.recheck.deleted(ref)) !== 'done') throw error;
    }
  }

  /** Whether the pod has the guest; one whose create was cut off is claimed. */
  async #isThere(
    api: GuestsApi<ProxmoxTask>,
    ref: GuestRef,
    owned: Pick<VmidEntry, 'owner' | 'warm' | 'since'>,
    wasTaken: boolean,
  ): Promise<boolean> {
    const { owner, since } = owned;
    let config = await configOf(api, ref);
    if (config?.lock === 'create') {
      // Its task may go on after the death of the server that asked for it.
      const isOurs = (found: MarkedConfig) => ownerOf(found.description) === owner;
      const verdict = await api.recheck.created(ref, isOurs, { settleMs: SETTLE_MS });
      if (verdict === 'incomplete' && (wasTaken || (await this.#hasTaken(api, ref, since)))) {
        await this.#claim(ref.vmid, owner);
        return true;
      }
      config = await configOf(api, ref);
    }
    if (config === undefined) return false;
    if (marksOf(owned).some((mark) => isOf(config, mark))) return true;
    this.#logger.warn("A guest under a pod's VMID is not the pod's, and is left alone", {
      vmid: ref.vmid,
      podSandboxId: owner,
    });
    return false;
  }

  /**
   * Whether Proxmox has taken this server's own create of a guest, whose answer was lost: one whose VMID was taken has no task.
   * @param since when the VMID was reserved, in seconds since 1970.
   */
  async #hasTaken(api: GuestsApi<ProxmoxTask>, { node, kind, vmid }: GuestRef, since?: number): Promise<boolean> {
    if (since === undefined) return false;
    const typefilter = kind === 'lxc' ? 'vzcreate' : 'qmcreate';
    const { data } = await api.tasks.list(node, { source: 'all', vmid, typefilter, since });
    return data.some(({ upid }) => upid.split(':').at(USER_FIELD) === this.#proxmox.user);
  }

  /** A purge takes the VMID out of the excludes of backup jobs as well, so that it is only for a guest under HA or replication. */
  async #askToDelete(api: GuestsApi<ProxmoxTask>, ref: GuestRef): Promise<ProxmoxTask> {
    const options = { force: true, destroyUnreferencedDisks: true };
    try {
      return await api.guests.delete(ref, { ...options, purge: false });
    } catch (error) {
      if (!this.#proxmox.isInUse(error)) throw error;
      return api.guests.delete(ref, { ...options, purge: true });
    }
  }

  /** Frees VMIDs that were given up as soon as nothing is left of their guests. */
  #sweep(): void {
    if (this.#sweeping) return;
    this.#sweeping = true;
    void (async () => {
      for (;;) {
        await sleep(SWEEP_MS, undefined, { ref: false });
        try {
          const { api, map, allocator } = await this.#open();
          for (const { vmid, owner, node, state } of await allocator.settle())
            if (state === 'leaving')
              await this.#deleteLeft(api, { ...this.#ref(vmid), node }, map.get(vmid) ?? { owner });
          if (map.entries().every(([, { state }]) => state !== 'leaving')) break;
        } catch (error) {
          this.#logger.warn('VMIDs that were given up could not be freed', { error: messageOf(error) });
        }
      }
      this.#sweeping = false;
    })();
  }

  /** A lock of one guest keeps no other. */
  async #deleteLeft(
    api: GuestsApi<ProxmoxTask>,
    ref: GuestRef,
    owned: Pick<VmidEntry, 'owner' | 'warm' | 'since'>,
  ): Promise<void> {
    try {
      await this.#delete(api, ref, owned);
    } catch (error) {
      this.#logger.warn('A guest that is to be gone could not be removed', { ...ref, error: messageOf(error) });
    }
  }

  #open(): Promise<Parts> {
    this.#parts ??= this.#build().catch((error: unknown) => {
      this.#parts = undefined;
      throw error;
    });
    return this.#parts;
  }

  async #build(): Promise<Parts> {
    const { name, storage, vmidMap } = this.#proxmox;
    const range = this.#proxmox.vmids();
    const api = await this.#proxmox.api();
    const map = await VmidMap.open(vmidMap);
    const tracer = new ClusterTracer(api, name, storage, this.#endOfUnits);
    const field = `proxmox.vmids.${name}`;
    const allocator = new VmidAllocator({ range, field, map, tracer, logger: this.#logger });
    if (map.entries().some(([, { state }]) => state !== 'used')) this.#sweep();
    return { api, map, allocator };
  }

  #ref(vmid: number): GuestRef {
    return { kind: this.#kind, node: this.#proxmox.name, vmid };
  }
}

async function configOf(api: GuestsApi<ProxmoxTask>, ref: GuestRef): Promise<GuestConfig | undefined> {
  try {
    return await api.guests.config(ref);
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

function vmidIn(map: VmidMap, owner: string): number | undefined {
  return map.entries().find(([, entry]) => entry.owner === owner)?.[0];
}

/** By its notes, which people may edit, or by the file that its configuration includes. */
function isOf({ description, raw }: GuestConfig, owner: string): boolean {
  return ownerOf(description) === owner || raw.some(([key, value]) => key === 'lxc.include' && value.includes(owner));
}

function isNotFound(error: unknown): boolean {
  return hasCode(error, StatusCode.NOT_FOUND);
}

function hasCode(error: unknown, code: StatusCode): boolean {
  return error instanceof CriError && error.code === code;
}
