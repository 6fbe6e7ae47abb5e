import { z } from 'zod';

/** The table `[rootfs]`. */
export function rootfsTable() {
  return z
    .strictObject({
      store: z
        .enum(['auto', 'zfs', 'overlayfs'])
        .default('auto')
        .describe(
          'where images and root filesystems are stored: "zfs" makes clones in a ZFS dataset, "overlayfs" directories in root; "auto" is ' +
            '"zfs" where the dataset exists and overlayfs holds no root filesystems, "overlayfs" otherwise. Drain the node before changing it',
        ),
      dataset: z
        .string()
        .max(200)
        .regex(
          /^$|^[A-Za-z][A-Za-z0-9_.:-]*(\/[A-Za-z0-9_.:-]+)+$/,
          'must be a dataset below a pool, such as "rpool/proxmox-lxcri"',
        )
        .default('')
        .describe(
          'ZFS dataset of this server, created by the operator; "" is the dataset proxmox-lxcri of the one pool that has it',
        ),
      quota_bytes: z
        .number()
        .int()
        .min(0)
        .default(0)
        .describe('bytes that a container may write to its root filesystem on ZFS; 0: no limit'),
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
