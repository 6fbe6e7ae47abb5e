import { failedPrecondition } from '../../../core/model/errors.ts';
import type { StoreChoice } from '../../../core/model/rootfs-settings.ts';
import type { CallOptions } from '../commands.ts';
import type { ZfsClient } from '../client.ts';
import { isKind } from '../errors/zfs-error.ts';
import { poolOf } from '../names.ts';

/** The dataset of a pool, or of a storage, that is taken where none is configured. */
const DEFAULT = 'proxmox-lxcri';

/** What the configuration asks for. */
export interface Wanted {
  store: StoreChoice;
  /** "": found by its name. */
  dataset: string;
  /** The table that asks for it, for messages. */
  table: string;
}

/** A dataset that Proxmox uses for the volumes of containers, and the name of the storage. */
export interface ProxmoxDataset {
  name: string;
  pool: string;
}

/** The store of new root filesystems, and why: half a sentence for operators. `command` makes it the other one. */
export type Choice =
  { store: 'zfs'; dataset: string; reason: string } | { store: 'overlayfs'; reason: string; command?: string };

/**
 * Chooses the store of root filesystems; changes nothing.
 * @param storages where a dataset without a configured name is looked for first.
 * @throws CriError FAILED_PRECONDITION where `zfs` is asked for and its dataset is missing, or several could be meant; ZfsError.
 */
export async function chooseStore(
  client: ZfsClient,
  wanted: Wanted,
  storages: readonly ProxmoxDataset[],
  options?: CallOptions,
): Promise<Choice> {
  if (wanted.store === 'overlayfs') return { store: 'overlayfs', reason: `configured by ${wanted.table}.store` };
  let found: Found;
  try {
    found = await find(client, wanted, storages, options);
  } catch (error) {
    if (wanted.store !== 'auto' || !isKind(error, 'noZfs')) throw error;
    return { store: 'overlayfs', reason: 'there is no ZFS' };
  }
  if ('missing' in found) {
    const { missing, command } = found;
    if (wanted.store === 'zfs')
      throw failedPrecondition(`${wanted.table}.store: ${missing}; create it with "${command}"`);
    return { store: 'overlayfs', reason: missing, command };
  }
  const { dataset, reason } = found;
  return {
    store: 'zfs',
    dataset,
    reason: wanted.store === 'zfs' ? `configured by ${wanted.table}.store; ${reason}` : reason,
  };
}

type Found = { dataset: string; reason: string } | { missing: string; command: string };

async function find(
  { zfs, zpool }: ZfsClient,
  { dataset: configured, table }: Wanted,
  storages: readonly ProxmoxDataset[],
  options?: CallOptions,
): Promise<Found> {
  if (configured !== '') {
    if (await exists(zfs, configured, options)) return { dataset: configured, reason: `named by ${table}.dataset` };
    return { missing: `no dataset ${configured}`, command: `zfs create -p ${configured}` };
  }
  const pools = (await zpool.list(options)).filter(({ isSuspended }) => !isSuspended).map(({ name }) => name);
  const reachable = storages.filter(({ pool }) => pools.includes(poolOf(pool)));
  const places = [
    reachable.map(({ name, pool }) => ({ pool, of: `the storage ${name} of Proxmox` })),
    pools.map((pool) => ({ pool, of: `the pool ${pool}` })),
  ];
  for (const level of places) {
    const found = new Map<string, string>();
    for (const { pool, of } of level) {
      const dataset = `${pool}/${DEFAULT}`;
      if (!found.has(dataset) && (await exists(zfs, dataset, options))) found.set(dataset, of);
    }
    const [first, ...others] = found;
    if (first !== undefined && others.length === 0) return { dataset: first[0], reason: `found in ${first[1]}` };
    if (first !== undefined) {
      throw failedPrecondition(`${table}.dataset: ${[...found.keys()].join(' and ')} exist; name one of them`);
    }
  }
  const place = reachable[0]?.pool ?? pools[0] ?? 'POOL';
  const where = reachable.length > 0 ? 'neither a storage of Proxmox nor a pool' : 'no pool';
  return { missing: `${where} has a dataset ${DEFAULT}`, command: `zfs create ${place}/${DEFAULT}` };
}

async function exists(zfs: ZfsClient['zfs'], dataset: string, options?: CallOptions): Promise<boolean> {
  try {
    await zfs.get([dataset], ['type'], options);
    return true;
  } catch (error) {
    if (isKind(error, 'notFound')) return false;
    throw error;
  }
}
