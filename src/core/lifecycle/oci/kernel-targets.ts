import { invalidArgument } from '../../model/errors.ts';

/** Files below /proc that a tool such as lxcfs shows in place of the kernel's. */
const SHOWN_IN_PROC = ['cpuinfo', 'diskstats', 'loadavg', 'meminfo', 'slabinfo', 'stat', 'swaps', 'uptime', 'net/dev'];

/** Whether `target`, an absolute path in a container without links, is a place that the kernel's file systems hold. */
export function isKernelTarget(target: string): boolean {
  return target === '/proc' || target === '/sys' || target.startsWith('/proc/');
}

/**
 * Checks a mount over /proc or /sys, as runc does: it would hide the masked and read-only paths, and show the container's
 * processes the state of another kernel. The node's own procfs or sysfs may take their place.
 * @param sourceType the source's file system, as the kernel names it.
 * @throws CriError INVALID_ARGUMENT naming `field`.
 */
export function checkKernelTarget(target: string, sourceType: string, field: string): void {
  if (target === '/proc' || target === '/sys') {
    const own = target === '/proc' ? 'proc' : 'sysfs';
    if (sourceType === own) return;
    throw invalidArgument(field, `${target} can only be the node's own ${own}: mount the volume elsewhere`);
  }
  if (isKernelTarget(target) && !SHOWN_IN_PROC.includes(target.slice('/proc/'.length))) {
    throw invalidArgument(field, `${target} belongs to the kernel: mount the volume outside /proc`);
  }
}
