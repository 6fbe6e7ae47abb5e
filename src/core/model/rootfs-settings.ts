/** Where root filesystems are stored, as the configuration asks for it. */
export const STORE_CHOICES = ['auto', 'zfs', 'overlayfs'] as const;

export type StoreChoice = (typeof STORE_CHOICES)[number];

/** A ZFS dataset below a pool, or "". */
export const DATASET = /^$|^[A-Za-z][A-Za-z0-9_.:-]*(\/[A-Za-z0-9_.:-]+)+$/;

/** Longest name of the dataset of a store: what is below it has names too. */
export const LONGEST_DATASET = 200;

/** The root filesystems of one handler. */
export interface RootfsSettings {
  store: StoreChoice;
  /** "": to be found. */
  dataset: string;
  /** Bytes that a container may write, and bytes that are kept free for it; 0: none. */
  quota_bytes: number;
  reservation_bytes: number;
  /** The most that annotations may ask for; -1: what those without one have. A quota of 0 is no limit. */
  max_quota_bytes: number;
  max_reservation_bytes: number;
}

/** The same in the table of a handler: what is "" or -1 is as in `[rootfs]`. */
export type HandlerRootfs = Omit<RootfsSettings, 'store'> & { store: StoreChoice | '' };
