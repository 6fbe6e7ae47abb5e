import type { LayerApply, Usage } from '../../../core/model/rootfs.ts';
import { type Entry, numberOf, ownValueOf } from '../answers/properties.ts';
import type { Backing, Origin } from '../backing/backing.ts';
import { COMPLETE, type Kind, PROPERTY } from '../store/layout.ts';
import type { Settings } from '../zfs.ts';

/** What of a snapshot those need that are clones of it. */
export type Cloned = Omit<Origin, 'snapshot' | 'bytes'>;

/** A complete layer, as its snapshot says. */
export interface Layer extends Usage, Cloned {
  chainId: string;
  parent: string | undefined;
}

/** A layer that is to be written or was received, and what its files use. */
export type LayerFacts = Omit<LayerApply, 'blob' | 'signal'> & Usage;

/** The properties that {@link layerFrom} and {@link clonedFrom} need. */
export function layerProperties({ objects }: Pick<Backing, 'objects'>): string[] {
  const { kind, chain, parent, bytes, inodes } = PROPERTY;
  return ['referenced', 'volsize', objects, kind, chain, parent, bytes, inodes];
}

/** The properties of the snapshot that makes a dataset this layer. */
export function layerSettings({ chainId, parent, diffId, bytes, inodes }: LayerFacts): Settings {
  return {
    [PROPERTY.kind]: 'layer' satisfies Kind,
    [PROPERTY.chain]: chainId,
    ...(parent !== undefined && { [PROPERTY.parent]: parent }),
    [PROPERTY.diff]: diffId,
    [PROPERTY.bytes]: String(bytes),
    [PROPERTY.inodes]: String(inodes),
  };
}

/** The layer whose snapshot this is; undefined for everything else. */
export function layerFrom(entry: Entry, backing: Pick<Backing, 'objects'>): Layer | undefined {
  const chainId = ownValueOf(entry, PROPERTY.chain);
  const hex = /^sha256:([0-9a-f]{64})$/.exec(chainId ?? '')?.[1];
  const [bytes, inodes] = [numberOf(entry, PROPERTY.bytes), numberOf(entry, PROPERTY.inodes)];
  if (chainId === undefined || hex === undefined || bytes === undefined || inodes === undefined) return undefined;
  if (!entry.name.endsWith(`/${hex}@${COMPLETE}`)) return undefined;
  const parent = ownValueOf(entry, PROPERTY.parent);
  return { chainId, parent, bytes, inodes, ...clonedFrom(entry, backing) };
}

/** What the clones of a snapshot need to know of it. */
export function clonedFrom(entry: Entry, { objects }: Pick<Backing, 'objects'>): Cloned {
  return {
    objects: numberOf(entry, objects) ?? 0n,
    referenced: numberOf(entry, 'referenced') ?? 0n,
    volumeBytes: numberOf(entry, 'volsize'),
  };
}
