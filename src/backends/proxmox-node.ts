import type { NetworkSettings } from '../core/model/guest-networks.ts';
import type { GuestPools } from '../core/model/guest-pools.ts';
import type { GuestsApi } from './proxmox-api.ts';

/** The id of a task of Proxmox VE, in its parts: a JSON value that only the API reads. */
export interface ProxmoxTask {
  text: string;
  node: string;
  pid: number;
  pstart: number;
  starttime: number;
  type: string;
  id: string;
  user: string;
}

/** The node of Proxmox VE that this server runs on, and where its guests belong there. */
export interface ProxmoxNode {
  /** Name of the node. */
  name: string;
  /** Whom the API takes this server for: `user@realm!token`. */
  user: string;
  /** Storage of the guests' root filesystems. */
  storage: string;
  /** Storage of templates of containers. */
  templateStorage: string;
  /** Resource pools of the guests. */
  pools: GuestPools;
  /** Absolute path of the map of VMIDs, which must survive a reboot. */
  vmidMap: string;
  /** Absolute path of the map of addresses, which must survive a reboot. */
  addressMap: string;
  /** Networks of the guests. */
  networks: readonly NetworkSettings[];
  /** The VMIDs of the node's pods. @throws CriError FAILED_PRECONDITION while the configuration has none for the node. */
  vmids: () => { first: number; size: number };
  /**
   * The API of the cluster; nothing is read before the first call, so that a node whose cluster file system is not there yet
   * can serve other handlers. @throws CriError for an authority or credentials that cannot be used.
   */
  api: () => Promise<GuestsApi<ProxmoxTask>>;
  /** Whether a failed call may have had its effect: the state must be read then. */
  isUncertain: (error: unknown) => boolean;
  /** Whether a guest was not deleted because HA or a replication job names it. */
  isInUse: (error: unknown) => boolean;
}
