import { failedPrecondition } from '../../../core/model/errors.ts';
import type { CallOptions } from '../commands.ts';
import type { ZfsClient } from '../client.ts';
import { isKind } from '../errors/zfs-error.ts';

/** The dataset of a pool that is taken where none is configured. */
const DEFAULT = 'proxmox-lxcri';

/** What the configuration asks for. */
export interface Wanted {
  store: 'auto' | 'zfs' | 'overlayfs';
  /** "": found by its name. */
  dataset: string;
}

/** The store of new root filesystems, and why: half a sentence for operators. `command` makes it the other one. */
export type Choice =
  { store: 'zfs'; dataset: string; reason: string } | { store: 'overlayfs'; reason: string; command?: string };

/**
 * Chooses the store of root filesystems; changes nothing.
 * @param holdsOverlay whether overlayfs has root filesystems of containers, which another store could not remove.
 * @throws CriError FAILED_PRECONDITION where `zfs` is asked for and its dataset is missing, or several could be meant; ZfsError.
 */
export async function chooseStore(
  client: ZfsClient,
  wanted: Wanted,
  holdsOverlay: () => Promise<boolean>,
  options?: CallOptions,
): Promise<Choice> {
  if (wanted.store === 'overlayfs') return { store: 'overlayfs', reason: 'configured by rootfs.store' };
  let found: Found;
  try {
    found = await find(client, wanted.dataset, options);
  } catch (error) {
    if (wanted.store !== 'auto' || !isKind(error, 'noZfs')) throw error;
    return { store: 'overlayfs', reason: 'there is no ZFS' };
  }
  if ('missing' in found) {
    const { missing, command } = found;
    if (wanted.store === 'zfs') throw failedPrecondition(`rootfs.store: ${missing}; create it with "${command}"`);
    return { store: 'overlayfs', reason: missing, command };
  }
  const { dataset } = found;
  if (wanted.store === 'zfs') return { store: 'zfs', dataset, reason: 'configured by rootfs.store' };
  if (!(await holdsOverlay())) return { store: 'zfs', dataset, reason: `dataset ${dataset} exists` };
  const reason = `dataset ${dataset} exists, but overlayfs has root filesystems of containers; drain the node and restart the server`;
  return { store: 'overlayfs', reason };
}

type Found = { dataset: string } | { missing: string; command: string };

async function find({ zfs, zpool }: ZfsClient, configured: string, options?: CallOptions): Promise<Found> {
  if (configured !== '') {
    if (await exists(zfs, configured, options)) return { dataset: configured };
    return { missing: `no dataset ${configured}`, command: `zfs create -p ${configured}` };
  }
  const pools = (await zpool.list(options)).filter(({ isSuspended }) => !isSuspended).map(({ name }) => name);
  const datasets: string[] = [];
  for (const pool of pools) if (await exists(zfs, `${pool}/${DEFAULT}`, options)) datasets.push(`${pool}/${DEFAULT}`);
  const [dataset, ...others] = datasets;
  if (dataset === undefined) {
    return { missing: `no pool has a dataset ${DEFAULT}`, command: `zfs create ${pools[0] ?? 'POOL'}/${DEFAULT}` };
  }
  if (others.length === 0) return { dataset };
  throw failedPrecondition(`rootfs.dataset: ${datasets.join(' and ')} exist; name one of them`);
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
