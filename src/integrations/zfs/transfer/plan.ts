/**
 * What happens to the stream of a layer: it is skipped; becomes the layer; or becomes a copy of a layer that the store has in
 * another lineage, because a stream after it continues this one: ZFS knows snapshots by their guids.
 */
export type StreamUse = 'skip' | 'layer' | 'copy';

/**
 * Which of the streams of an image are received.
 * @param layers lowest first. @param hasRootfs a stream after them continues the last one.
 * @param present what the store has: layers by chain id, and snapshots by guid.
 */
export function planStreams(
  layers: readonly { chainId: string; guid: bigint }[],
  hasRootfs: boolean,
  present: { hasLayer: (chainId: string) => boolean; hasGuid: (guid: bigint) => boolean },
): StreamUse[] {
  let isContinued = hasRootfs;
  return layers
    .toReversed()
    .map(({ chainId, guid }): StreamUse => {
      const isLayer = !present.hasLayer(chainId);
      const isNeeded = isLayer || (isContinued && !present.hasGuid(guid));
      isContinued = isNeeded;
      if (!isNeeded) return 'skip';
      return isLayer ? 'layer' : 'copy';
    })
    .reverse();
}
