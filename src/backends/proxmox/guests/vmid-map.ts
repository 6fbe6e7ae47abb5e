import * as z from 'zod';
import { DurableMap, type MapKind, type Write } from '../durable-map.ts';

const entry = z.object({
  /** The pod's id, or that of a guest that is started ahead of its pod. */
  owner: z.string(),
  /** For a pod whose guest was started ahead: the id that the guest was made with, and may still bear. */
  warm: z.string().exactOptional(),
  /** Set once Proxmox has taken the create of such a guest, which no pod's record says. */
  taken: z.literal(true).exactOptional(),
  /** Seconds since 1970 of this node's clock when it was reserved, before its create was asked for. */
  since: z.int().exactOptional(),
  /** `reserved`: a create may be under way; `used`: the guest was created; `leaving`: it is to be gone before reuse. */
  state: z.enum(['reserved', 'used', 'leaving']),
});

/** What is known of one VMID. */
export type VmidEntry = z.infer<typeof entry>;

/** The ids by which the guest of an entry may be known. */
export function marksOf({ owner, warm }: Pick<VmidEntry, 'owner' | 'warm'>): string[] {
  return warm === undefined ? [owner] : [owner, warm];
}

const KIND: MapKind<VmidEntry> = {
  format: 1,
  member: 'vmids',
  key: z.string().regex(/^[1-9]\d{2,8}$/),
  value: entry,
  name: 'map of VMIDs',
  with: 'the guests of pods that no record names',
};

/** Which VMIDs pods have, on disk: every change is durable when its call resolves. */
export class VmidMap {
  readonly #map: DurableMap<VmidEntry>;

  private constructor(map: DurableMap<VmidEntry>) {
    this.#map = map;
  }

  /** As `DurableMap.open`. @throws {CriError} FAILED_PRECONDITION for a file that is of a newer format, or none */
  static async open(path: string, write?: Write): Promise<VmidMap> {
    return new VmidMap(await DurableMap.open(path, KIND, write));
  }

  /** What is known of the VMID, undefined for one that is free as far as this map knows. */
  get(vmid: number): Readonly<VmidEntry> | undefined {
    return this.#map.get(String(vmid));
  }

  /** All VMIDs that are not free, ascending. */
  entries(): [vmid: number, entry: Readonly<VmidEntry>][] {
    const entries = this.#map.entries().map(([vmid, one]): [number, Readonly<VmidEntry>] => [Number(vmid), one]);
    return entries.sort(([a], [b]) => a - b);
  }

  /** Changes one entry, or removes it; when the file cannot be written the entry is as before, and the error is the write's. */
  set(vmid: number, value: VmidEntry | undefined): Promise<void> {
    return this.#map.set([String(vmid), value]);
  }
}
