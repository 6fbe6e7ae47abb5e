import * as z from 'zod';
import type { LimitPolicy } from '../model/rootfs.ts';
import {
  DATASET,
  type HandlerRootfs,
  LONGEST_DATASET,
  type RootfsSettings,
  STORE_CHOICES,
} from '../model/rootfs-settings.ts';

const bytes = z.number().int().min(0).default(0);
const largest = z.number().int().min(-1).default(-1);

/** The table `[rootfs]`. */
export function rootfsTable() {
  return z
    .strictObject({
      store: z
        .enum(STORE_CHOICES)
        .default('auto')
        .describe(
          'where images and root filesystems are stored: "zfs" makes clones in a ZFS dataset, "overlayfs" directories in root; "auto" is ' +
            '"zfs" where the dataset exists, "overlayfs" otherwise. After a change, existing containers stay where they are and images are ' +
            'pulled again',
        ),
      dataset: z
        .string()
        .max(LONGEST_DATASET)
        .regex(DATASET, 'must be a dataset below a pool, such as "rpool/proxmox-lxcri"')
        .default('')
        .describe(
          'ZFS dataset of this server, created by the operator; "" is the dataset proxmox-lxcri of a zfspool storage of Proxmox, or else ' +
            'that of the one pool that has it',
        ),
      quota_bytes: bytes.describe(
        'bytes that a container without an annotation may write to its root filesystem on ZFS; 0: no limit',
      ),
      reservation_bytes: bytes.describe(
        'bytes that are kept free for the root filesystem of a container without an annotation on ZFS; 0: none',
      ),
      max_quota_bytes: largest.describe(
        'largest quota that an annotation may set for a root filesystem or a volume on ZFS; 0: no limit, -1: the value of quota_bytes',
      ),
      max_reservation_bytes: largest.describe(
        'largest reservation that an annotation may make for a root filesystem on ZFS; 0: none, -1: the value of reservation_bytes',
      ),
      compression: z
        .string()
        .regex(
          /^(|on|off|lz4|lzjb|zle|gzip(-[1-9])?|zstd(-(1?[1-9]|10))?|zstd-fast(-([1-9]|[1-9]0|100|500|1000))?)$/,
          'must be a value of the ZFS property compression, such as "lz4" or "zstd-3", or ""',
        )
        .default('')
        .describe('compression of images and root filesystems on ZFS; "": as the dataset has it'),
      recordsize: z
        .string()
        .regex(
          /^(|512|(1|2|4|8|16|32|64|128|256|512)K|(1|2|4|8|16)M)$/,
          'must be a power of two from "512" to "16M", such as "128K", or ""',
        )
        .default('')
        .describe('largest block of files of images and root filesystems on ZFS; "": as the dataset has it'),
      checkpoint_keep_count: z
        .number()
        .int()
        .min(0)
        .max(10_000)
        .default(10)
        .describe('number of checkpoints of a container that are kept; a new one removes the oldest beyond it. 0: all'),
      checkpoint_keep_days: z
        .number()
        .int()
        .min(0)
        .max(36_500)
        .default(0)
        .describe('days after which a new checkpoint of a container removes older ones; 0: never'),
    })
    .prefault({})
    .describe('root filesystems');
}

/** The root filesystems of a handler, and the table that names their store or dataset. */
export interface RootfsOfHandler extends RootfsSettings {
  table: string;
}

/** The limits of a handler's root filesystems. */
export function limitPolicy(settings: RootfsOfHandler): LimitPolicy {
  const { quota_bytes, reservation_bytes, max_quota_bytes, max_reservation_bytes } = settings;
  return {
    defaults: { quotaBytes: BigInt(quota_bytes), reservationBytes: BigInt(reservation_bytes) },
    largest: {
      ...(max_quota_bytes > 0 && { quotaBytes: BigInt(max_quota_bytes) }),
      reservationBytes: BigInt(max_reservation_bytes),
    },
  };
}

type BytesKey = Exclude<keyof RootfsSettings, 'store' | 'dataset'>;

/** The root filesystems of a handler: what its table `[handlers.NAME.rootfs]` has, and else `[rootfs]`. */
export function rootfsOfHandler(
  config: { rootfs: RootfsSettings; handlers: Readonly<Record<string, Readonly<Record<string, unknown>>>> },
  handler: string,
): RootfsOfHandler {
  const { store, dataset, ...common } = config.rootfs;
  const own = config.handlers[handler]?.rootfs as HandlerRootfs | undefined;
  const isOwn = own !== undefined && (own.store !== '' || own.dataset !== '');
  const bytes = (key: BytesKey): number => {
    const value = own?.[key] ?? -1;
    return value === -1 ? common[key] : value;
  };
  const [quota, reservation] = [bytes('quota_bytes'), bytes('reservation_bytes')];
  const largest = (key: BytesKey, byDefault: number) => {
    const value = bytes(key);
    return value === -1 ? byDefault : value;
  };
  return {
    store: own === undefined || own.store === '' ? store : own.store,
    dataset: own === undefined || own.dataset === '' ? dataset : own.dataset,
    quota_bytes: quota,
    reservation_bytes: reservation,
    max_quota_bytes: largest('max_quota_bytes', quota),
    max_reservation_bytes: largest('max_reservation_bytes', reservation),
    table: isOwn ? `handlers.${handler}.rootfs` : 'rootfs',
  };
}
