import type { Usage } from '../../../core/model/rootfs.ts';
import { numberOf, ownValueOf, valueOf } from '../answers/properties.ts';
import type { LayerIndex } from '../layers/layer-index.ts';
import { datasetOf } from '../names.ts';
import { COMPLETE, type Layout, noLayer, PROPERTY } from '../store/layout.ts';
import type { Zfs } from '../zfs.ts';

/** A layer as it is sent. */
export interface Sent {
  snapshot: string;
  guid: bigint;
  layer: { chainId: string; diffId: string } & Usage;
}

interface Place {
  zfs: Zfs;
  layout: Layout;
}

/**
 * The layers of an image, the lowest first, each with the snapshot that the next one is a clone of: that of the layer itself, or
 * of a copy of it that was received. @throws CriError NOT_FOUND.
 */
export async function lineageOf({ zfs, layout }: Place, index: LayerIndex, top: string | undefined): Promise<Sent[]> {
  if (top === undefined) return [];
  const entries = await zfs.list(layout.layers, ['origin', 'guid', PROPERTY.diff], {
    types: ['filesystem', 'snapshot'],
  });
  const byName = new Map(entries.map((entry) => [entry.name, entry]));
  const lineage: Sent[] = [];
  let snapshot = index.originOf(top).snapshot;
  for (let chainId: string | undefined = top; chainId !== undefined;) {
    const layer = index.get(chainId);
    const [own, sent] = [index.originOf(chainId).snapshot, snapshot].map((name) => byName.get(name));
    const diffId = own && ownValueOf(own, PROPERTY.diff);
    const guid = sent && numberOf(sent, 'guid');
    if (layer === undefined || diffId === undefined || guid === undefined) throw noLayer(chainId);
    const { bytes, inodes, parent } = layer;
    lineage.unshift({ snapshot, guid, layer: { chainId, diffId, bytes, inodes } });
    const dataset = byName.get(datasetOf(snapshot));
    snapshot = (dataset && valueOf(dataset, 'origin')) ?? '';
    chainId = parent;
  }
  return lineage;
}

/** The snapshots that streams can continue, those of copies among them. */
export async function snapshotsByGuid({ zfs, layout }: Place): Promise<Map<bigint, string>> {
  const entries = await zfs.list(layout.layers, ['guid'], { types: ['snapshot'] });
  const complete = entries.filter(({ name }) => name.endsWith(`@${COMPLETE}`));
  return new Map(complete.flatMap((entry) => [[numberOf(entry, 'guid') ?? 0n, entry.name] as const]));
}
