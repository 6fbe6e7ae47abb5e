import { CriError, StatusCode } from '../../../core/model/errors.ts';
import type { Logger } from '../../../core/model/logger.ts';
import { describeTraces, type GuestTracer, type GuestTraces, isForeign } from './guest-traces.ts';
import { marksOf, type VmidEntry, type VmidMap } from './vmid-map.ts';
import { rangeText, type VmidRange } from './vmid-ranges.ts';

/** A guest of a pod that is there though its VMID is not in regular use. */
export interface StrayGuest {
  vmid: number;
  owner: string;
  /** Where it is now. */
  node: string;
  /** `reserved`: an earlier server ended while it made the guest; `leaving`: it was given up, or its end not waited for. */
  state: 'reserved' | 'leaving';
}

/** What an allocator needs. */
export interface VmidAllocatorParts {
  range: VmidRange;
  /** Name of the node's range in the configuration, for errors. */
  field: string;
  map: VmidMap;
  tracer: GuestTracer;
  logger: Logger;
}

/**
 * Gives VMIDs of a node's range to pods, the lowest free first. Creating the guest is the reservation: of two that try one
 * VMID the cluster lets one create it. A VMID is given again when guest, volumes, firewall file, HA resources and tasks are gone.
 */
export class VmidAllocator {
  readonly #parts: VmidAllocatorParts;
  /** VMIDs that a call of this process is trying. */
  readonly #trying = new Set<number>();
  /** VMIDs that others use, or that have traces of others: not asked about again until the range is exhausted. */
  readonly #passed = new Set<number>();

  constructor(parts: VmidAllocatorParts) {
    this.#parts = parts;
  }

  /**
   * Creates the pod's guest under the lowest free VMID, which it resolves with.
   * @param create creates the guest, with the pod's id in it in the same step; `taken` when the cluster says that the VMID
   *   has a guest already. What it throws is thrown on: then the VMID stays out of use until {@link settle} finds it free.
   * @throws {CriError} RESOURCE_EXHAUSTED: no VMID of the range is free
   */
  async allocate(owner: string, create: (vmid: number) => Promise<'created' | 'taken'>): Promise<number> {
    const passedBefore = new Set(this.#passed);
    while (true) {
      const vmid = this.#claim() ?? this.#claimAgain(passedBefore);
      if (vmid === undefined) throw this.#exhausted();
      try {
        if (await this.#tryOne(vmid, owner, create)) return vmid;
        this.#passed.add(vmid);
        passedBefore.delete(vmid);
      } finally {
        this.#trying.delete(vmid);
      }
    }
  }

  /**
   * Says that the pod's guest is to be gone; the VMID is free when nothing is left of it, else {@link settle} looks again.
   * @returns what is left.
   */
  async release(vmid: number): Promise<GuestTraces | undefined> {
    const entry = this.#parts.map.get(vmid);
    if (entry === undefined) return undefined;
    const leaving: VmidEntry = { ...entry, state: 'leaving' };
    await this.#parts.map.set(vmid, leaving);
    return this.#freeIfGone(vmid, leaving);
  }

  /**
   * Frees VMIDs that were given up and of which nothing is left; to be called at the start of the server and from time to
   * time. Answers guests that are still there: the caller deletes and releases them, or keeps one with {@link confirm}.
   * @throws what the tracer or the disk throws; what was settled before stays so
   */
  async settle(): Promise<StrayGuest[]> {
    const stray: StrayGuest[] = [];
    this.#passed.clear();
    for (const [vmid, entry] of this.#parts.map.entries()) {
      const { owner, state } = entry;
      if (state === 'used' || this.#trying.has(vmid)) continue;
      const traces = await this.#freeIfGone(vmid, entry);
      const guest = traces?.guest;
      if (guest?.owner !== undefined && marksOf(entry).includes(guest.owner))
        stray.push({ vmid, owner, node: guest.node, state });
      else if (traces !== undefined && state === 'reserved' && this.#parts.map.get(vmid) === entry)
        await this.#parts.map.set(vmid, { ...entry, state: 'leaving' });
    }
    return stray;
  }

  /** Says that a guest that {@link settle} answered is the pod's all the same. */
  async confirm({ vmid, owner }: StrayGuest): Promise<void> {
    const { map } = this.#parts;
    await map.set(vmid, { ...map.get(vmid), owner, state: 'used' });
  }

  /** The lowest VMID that nobody is known to use, taken so that no other call of this process tries it. */
  #claim(): number | undefined {
    const { first, size } = this.#parts.range;
    for (let vmid = first; vmid < first + size; vmid++) {
      if (this.#trying.has(vmid) || this.#passed.has(vmid) || this.#parts.map.get(vmid) !== undefined) continue;
      this.#trying.add(vmid);
      return vmid;
    }
    return undefined;
  }

  /** Once the range is exhausted: VMIDs that others used before this call began may have become free. */
  #claimAgain(passedBefore: Set<number>): number | undefined {
    for (const vmid of passedBefore) this.#passed.delete(vmid);
    passedBefore.clear();
    return this.#claim();
  }

  /** Whether the guest was created under the VMID; false when the VMID is somebody else's. */
  async #tryOne(vmid: number, owner: string, create: (vmid: number) => Promise<'created' | 'taken'>): Promise<boolean> {
    const { map, tracer, logger } = this.#parts;
    const left = describeTraces(await tracer.tracesOf(vmid));
    if (left.length > 0) {
      logger.warn('A VMID of this node is not free', { vmid, left });
      return false;
    }
    // Before the create, so that a server that ends in it knows at its next start what to look for.
    await map.set(vmid, { owner, state: 'reserved', since: Math.floor(Date.now() / 1000) });
    let answer: 'created' | 'taken';
    try {
      answer = await create(vmid);
    } catch (error) {
      await this.#record(vmid, { ...map.get(vmid), owner, state: 'leaving' });
      throw error;
    }
    await this.#record(vmid, answer === 'created' ? { owner, state: 'used' } : undefined);
    if (answer === 'taken') logger.warn('A VMID of this node was taken by another guest', { vmid });
    return answer === 'created';
  }

  /** A reservation that stays on disk as it was does no harm: {@link settle} finds out what came of it. */
  async #record(vmid: number, entry: VmidEntry | undefined): Promise<void> {
    const { map, logger } = this.#parts;
    await map
      .set(vmid, entry)
      .catch((error: unknown) => logger.error('Cannot write the map of VMIDs', { vmid, error }));
  }

  /** Forgets a VMID of which nothing is left, or whose guest is not the pod's; answers what is left of the pod. */
  async #freeIfGone(vmid: number, entry: Readonly<VmidEntry>): Promise<GuestTraces | undefined> {
    const { map, tracer, logger } = this.#parts;
    const traces = await tracer.tracesOf(vmid);
    const left = describeTraces(traces);
    if (left.length > 0 && !isForeign(traces, marksOf(entry))) {
      logger.info('A VMID is not free yet', { vmid, left });
      return traces;
    }
    // Another call may have freed it meanwhile, and a third have reserved it.
    if (map.get(vmid) === entry) await map.set(vmid, undefined);
    return undefined;
  }

  #exhausted(): CriError {
    const { range, field, map } = this.#parts;
    const own = map.entries().filter(([vmid]) => vmid >= range.first && vmid < range.first + range.size).length;
    return new CriError(
      StatusCode.RESOURCE_EXHAUSTED,
      `no VMID of ${rangeText(range)} is free: pods have ${own}, other guests and what is left of guests have ${range.size - own}; raise ${field}.size or remove guests`,
    );
  }
}
