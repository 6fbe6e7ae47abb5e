import { rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { namesIn } from '../../../utils/fs/names.ts';
import type { ZfsClient } from '../client.ts';
import { isKind } from '../errors/zfs-error.ts';
import { poolOf } from '../names.ts';

const SLASH = '%2F';

/** Name of the directory of a store's mount points: its dataset's, in one component. It stays while the store may hold something. */
export function storeDirectory(dataset: string): string {
  return dataset.replaceAll('/', SLASH);
}

/** A store that was used on this host. */
export interface KnownStore {
  dataset: string;
  /** Whether its pool is imported. */
  isImported: boolean;
}

/**
 * The stores that have a directory here. The directory of one whose datasets were destroyed is removed; that of a pool which is not
 * imported stays.
 */
export async function storesBelow(directories: string, { zfs, zpool }: ZfsClient): Promise<KnownStore[]> {
  const datasets = (await namesIn(directories))
    .filter((name) => name.includes(SLASH))
    .map((name) => name.replaceAll(SLASH, '/'));
  if (datasets.length === 0) return [];
  const pools = new Set(
    await zpool.list().then(
      (list) => list.map(({ name }) => name),
      () => [],
    ),
  );
  const isGone = async (dataset: string) => {
    try {
      return (await zfs.list(dataset, ['type'], { depth: 1 })).length === 1;
    } catch (error) {
      return isKind(error, 'notFound');
    }
  };
  const known: KnownStore[] = [];
  for (const dataset of datasets) {
    const isImported = pools.has(poolOf(dataset));
    if (isImported && (await isGone(dataset))) await removeStoreDirectory(join(directories, storeDirectory(dataset)));
    else known.push({ dataset, isImported });
  }
  return known;
}

/** Removes the directory with its empty mount points. Never a tree: what is mounted must not be deleted. */
export async function removeStoreDirectory(path: string): Promise<void> {
  for (const name of await namesIn(path)) await rmdir(join(path, name)).catch(() => undefined);
  await rmdir(path).catch(() => undefined);
}
