import { CriError, failedPrecondition, invalidArgument, StatusCode, unavailable } from '../../core/model/errors.ts';
import type { CallOptions } from './call.ts';
import type { Storages } from './endpoints/storage.ts';

/** Types of storages that are a directory of each node; `glusterfs` ends with release 8. */
export const DIRECTORY_TYPES: readonly string[] = ['dir', 'btrfs', 'nfs', 'cifs', 'cephfs', 'glusterfs'];

/**
 * The absolute path of the directory that a storage is on a node. It costs two calls, which need Datastore.Audit on
 * `/storage/STORAGE`; the second has Proxmox VE mount a network storage.
 * @throws CriError NOT_FOUND for a storage that the caller may not see, INVALID_ARGUMENT for one of another kind,
 *   FAILED_PRECONDITION for one that is not for the node, UNAVAILABLE while it is not active; those of `Api.call`.
 */
export async function directoryOf(
  { storages }: { storages: Pick<Storages, 'configs' | 'status'> },
  { node, storage }: { node: string; storage: string },
  options: CallOptions = {},
): Promise<string> {
  const known = await storages.configs(options);
  const found = known.find((one) => one.storage === storage);
  if (found === undefined) {
    const visible = known.map((one) => one.storage).join(', ') || 'none';
    const remedy = `grant Datastore.Audit on /storage/${storage} if it exists`;
    throw new CriError(
      StatusCode.NOT_FOUND,
      `Proxmox VE has no storage ${storage} that this server may see (${visible}); ${remedy}`,
    );
  }
  const { type, path } = found;
  if (!DIRECTORY_TYPES.includes(type) || path === undefined) {
    const what = `storage ${storage} of Proxmox VE is of type ${type}, which has no directory for files`;
    throw invalidArgument('image.image', `${what}; name one of type dir, nfs or cifs`);
  }
  const { enabled, active } = await storages.status(node, storage, options);
  if (enabled === false) {
    throw failedPrecondition(
      `storage ${storage} of Proxmox VE is disabled, or not for node ${node}; see Datacenter > Storage`,
    );
  }
  if (active !== true) {
    throw unavailable(
      `storage ${storage} of Proxmox VE is not active on ${node}; see why: pvesm status --storage ${storage}`,
    );
  }
  return path;
}
