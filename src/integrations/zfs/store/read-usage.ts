import type { Entry } from '../answers/properties.ts';
import type { CallOptions } from '../commands.ts';
import { isKind } from '../errors/zfs-error.ts';
import type { Zfs } from '../zfs.ts';

/**
 * The limit of a command: to read the usage of a dataset that is not mounted, ZFS opens it, and callers wait for a measurement only
 * a while.
 */
const LIMIT: CallOptions = { timeoutMs: 120_000 };

/**
 * Those of these datasets that exist, with properties of their usage. By name: a listing takes two to five times as long for each
 * dataset, and reads also those that nobody has asked for.
 * @param list lists these and others, for when one of several does not exist.
 */
export async function readUsage(
  zfs: Zfs,
  names: readonly string[],
  properties: readonly string[],
  list: (properties: readonly string[], call: CallOptions) => Promise<Entry[]>,
): Promise<Entry[]> {
  try {
    return await zfs.get(names, properties, LIMIT);
  } catch (error) {
    if (!isKind(error, 'notFound')) throw error;
    if (names.length < 2) return [];
    const wanted = new Set(names);
    return (await list(properties, LIMIT)).filter(({ name }) => wanted.has(name));
  }
}
