/** The releases of Proxmox VE whose guest configuration is known: pve-container 5.3 and 6.1. */
export type ProxmoxRelease = 8 | 9;

/** One section of a guest's configuration: the guest itself, its pending changes, or a snapshot. */
export interface GuestSection {
  /** Values by key: numbers where the file has a good integer or boolean, else the text as it stands. */
  options: Record<string, string | number>;
  /** The comment lines, decoded. */
  description?: string;
  /** Raw LXC keys and values in the file's order. */
  lxc: [key: string, value: string][];
  /** In a snapshot that is being made or removed. */
  snapstate?: 'prepare' | 'delete';
  /** In the pending section: the keys to be removed, separated by commas; `!` before a key forces it. */
  delete?: string;
}

/** A container's configuration file as Proxmox understands it. */
export interface GuestConfig extends GuestSection {
  /** SHA-1 of the file, which guards against a write in between. */
  digest: string;
  pending: GuestSection;
  snapshots: Record<string, GuestSection>;
}

/** A section without anything. */
export function emptySection(): GuestSection {
  return { options: {}, lxc: [] };
}
