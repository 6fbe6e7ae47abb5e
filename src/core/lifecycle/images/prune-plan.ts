import type { ImageRecord } from '../../model/image.ts';
import type { StoredLayer } from '../../model/rootfs.ts';

/** What a prune of images would do now. */
export interface PrunePlan {
  /** The images that it would remove. */
  images: ImageRecord[];
  /** What the layers use that nothing needs then. */
  bytes: bigint;
  /** The layers that no image has now, those that containers use among them, with the names of their stores. */
  unused: (StoredLayer & { store: string })[];
}

/** The layers that can go when those in `kept` must stay: neither they nor a root filesystem builds on them. */
export function removableLayers(layers: readonly StoredLayer[], kept: ReadonlySet<string>): StoredLayer[] {
  const parents = new Map(layers.map(({ chainId, parent }) => [chainId, parent]));
  const stays = new Set<string>();
  for (const { chainId, isUsed } of layers) {
    if (!isUsed && !kept.has(chainId)) continue;
    for (let id: string | undefined = chainId; id !== undefined && !stays.has(id); id = parents.get(id)) stays.add(id);
  }
  return layers.filter(({ chainId }) => !stays.has(chainId));
}

/** Whether a prune keeps an image; `used` are the ids of those that containers use. */
export function isKept({ pinned, id }: ImageRecord, used: ReadonlySet<string>): boolean {
  return pinned || used.has(id);
}
