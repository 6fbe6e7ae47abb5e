import type { RootfsSnapshot, RootfsSnapshots, SnapshotKind } from '../../../core/model/rootfs-snapshots.ts';
import { type Entry, numberOf, ownValueOf, valueOf } from '../answers/properties.ts';
import type { Zfs } from '../zfs.ts';
import { PROPERTY } from './layout.ts';

const READ = ['creation', 'createtxg', 'used', 'clones', 'userrefs', PROPERTY.kind];
const SECOND = 1_000_000_000n;

/** Snapshots of root filesystems. Those of the server have a property that says what they are; others are an operator's. */
export class SnapshotDatasets implements RootfsSnapshots {
  readonly #zfs: Zfs;
  readonly #datasetOf: (id: string) => Promise<string>;

  /** @param datasetOf the dataset of a root filesystem; rejects with NOT_FOUND. */
  constructor(zfs: Zfs, datasetOf: (id: string) => Promise<string>) {
    this.#zfs = zfs;
    this.#datasetOf = datasetOf;
  }

  async create(id: string, name: string, kind: SnapshotKind, limitMs: number): Promise<void> {
    const snapshot = `${await this.#datasetOf(id)}@${name}`;
    await this.#zfs.snapshot([snapshot], { settings: { [PROPERTY.kind]: kind }, timeoutMs: limitMs });
  }

  async list(id: string): Promise<RootfsSnapshot[]> {
    const entries = await this.#zfs.list(await this.#datasetOf(id), READ, { depth: 1, types: ['snapshot'] });
    const order = (entry: Entry) => Number(numberOf(entry, 'createtxg') ?? 0n);
    return entries.sort((a, b) => order(a) - order(b)).map(snapshotOf);
  }

  async rollback(
    id: string,
    name: string,
    { discardNewer, limitMs }: { discardNewer: boolean; limitMs: number },
  ): Promise<void> {
    await this.#zfs.rollback(`${await this.#datasetOf(id)}@${name}`, { newer: discardNewer, timeoutMs: limitMs });
  }

  async remove(id: string, names: readonly string[]): Promise<void> {
    const dataset = await this.#datasetOf(id);
    await this.#zfs.destroySnapshots(dataset, names);
  }
}

function snapshotOf(entry: Entry): RootfsSnapshot {
  const kind = ownValueOf(entry, PROPERTY.kind);
  const clones = valueOf(entry, 'clones')?.split(',').filter(Boolean) ?? [];
  const holds = numberOf(entry, 'userrefs') ?? 0n;
  return {
    name: entry.name.slice(entry.name.indexOf('@') + 1),
    kind: kind === 'snapshot' || kind === 'checkpoint' ? kind : undefined,
    createdAt: (numberOf(entry, 'creation') ?? 0n) * SECOND,
    usedBytes: numberOf(entry, 'used') ?? 0n,
    dependents: [
      ...clones.map((clone) => `clone ${clone}`),
      ...(holds > 0n ? [`hold of "zfs holds ${entry.name}"`] : []),
    ],
  };
}
