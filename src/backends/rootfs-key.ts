import * as z from 'zod';
import { DATASET, LONGEST_DATASET, type HandlerRootfs, STORE_CHOICES } from '../core/model/rootfs-settings.ts';

const bytes = z.number().int().min(-1).default(-1);

/** The table of a handler whose root filesystems are in a store of the host; it overrides `[rootfs]`. */
export const rootfsKey: z.ZodType<HandlerRootfs> = z
  .strictObject({
    store: z
      .enum(['', ...STORE_CHOICES])
      .default('')
      .describe('store of images and root filesystems, as rootfs.store; "" is the value of that'),
    dataset: z
      .string()
      .max(LONGEST_DATASET)
      .regex(DATASET, 'must be a dataset below a pool, such as "tank/proxmox-lxcri"')
      .default('')
      .describe('ZFS dataset, as rootfs.dataset; "" is the value of that'),
    quota_bytes: bytes.describe('bytes that a container may write, as rootfs.quota_bytes; -1: the value of that'),
    reservation_bytes: bytes.describe('bytes that are kept free, as rootfs.reservation_bytes; -1: the value of that'),
    max_quota_bytes: bytes.describe(
      'largest quota that an annotation may set, as rootfs.max_quota_bytes; -1: the value of that',
    ),
    max_reservation_bytes: bytes.describe(
      'largest reservation that an annotation may make, as rootfs.max_reservation_bytes; -1: the value of that',
    ),
  })
  .prefault({})
  .describe("root filesystems of this handler's containers");
