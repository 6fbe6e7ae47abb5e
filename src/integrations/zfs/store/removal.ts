import type { Remains } from '../../../core/model/rootfs.ts';
import { type Entry, numberOf, ownValueOf } from '../answers/properties.ts';
import { isKind } from '../errors/zfs-error.ts';
import type { Zfs } from '../zfs.ts';
import { type Kind, PROPERTY } from './layout.ts';

const REMOVED: Kind = 'removed';

/** The properties that {@link remainsOf} and {@link sweepRemoved} need. */
export const REMOVAL_PROPERTIES = ['used', PROPERTY.kind];

/**
 * Destroys a dataset of the store with its snapshots; returns false when there is none. A process that has a file open in it keeps
 * it mounted, though nowhere: it is then only marked, and {@link sweepRemoved} destroys it later.
 */
export async function destroyOrMark(zfs: Zfs, name: string): Promise<boolean> {
  try {
    await zfs.destroy(name, { recursive: true, repeats: 3 });
  } catch (error) {
    if (isKind(error, 'notFound')) return false;
    if (!isKind(error, 'busy')) throw error;
    await zfs.set(name, { [PROPERTY.kind]: REMOVED });
  }
  return true;
}

/** Those of the datasets that {@link destroyOrMark} has marked. */
export function remainsOf(entries: readonly Entry[]): Remains[] {
  const removed = entries.filter((entry) => ownValueOf(entry, PROPERTY.kind) === REMOVED);
  return removed.map((entry) => ({ name: entry.name, bytes: numberOf(entry, 'used') ?? 0n }));
}

/** Destroys those that are marked, unless they are still in use. */
export async function sweepRemoved(zfs: Zfs, entries: readonly Entry[]): Promise<void> {
  for (const { name } of remainsOf(entries)) {
    await zfs.destroy(name, { recursive: true, repeats: 0 }).catch((error: unknown) => {
      if (!isKind(error, 'busy', 'notFound')) throw error;
    });
  }
}
