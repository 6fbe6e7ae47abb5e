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
    })
    .prefault({})
    .describe('root filesystems');
}
