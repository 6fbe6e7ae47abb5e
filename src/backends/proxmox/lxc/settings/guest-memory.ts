/** Bytes of the unit that Proxmox has for memory. */
export const MIB = 1_048_576;

/** Bytes that the guest needs beside the pod's limit: its pause process, and the kernel's memory of it. */
const OWN = 16 * MIB;

/** From this size on Proxmox throttles a guest 128 MiB below its limit, before at 1016/1024 of it. */
const LARGE_MIB = 16_384;

/**
 * The memory of a pod's guest in MiB, such that a container reaches its own limit, and is OOM-killed, before Proxmox's
 * `memory.high` throttles the guest.
 * @param limit bytes that the pod's cgroup may have; undefined: no limit, then the guest has the node's memory.
 * @param node bytes of memory of the node.
 */
export function guestMemory(limit: number | undefined, node: number): number {
  const whole = Math.ceil(node / MIB);
  if (limit === undefined) return whole;
  const needed = (limit + OWN) / MIB;
  const throttled = Math.ceil((needed * 1024) / 1016);
  return Math.min(throttled < LARGE_MIB ? throttled : Math.ceil(needed) + 128, Math.max(whole, Math.ceil(needed)));
}
