import { invalidArgument } from '../../model/errors.ts';

/** Files below /proc that a tool such as lxcfs replaces. */
const SHOWN_IN_PROC = ['cpuinfo', 'diskstats', 'loadavg', 'meminfo', 'slabinfo', 'stat', 'swaps', 'uptime', 'net/dev'];

/** Whether `target`, an absolute path in a container without links, is on one of the kernel's filesystems. */
export function isKernelTarget(target: string): boolean {
  return target === '/proc' || target === '/sys' || target.startsWith('/proc/');
}

/**
 * Checks a mount over /proc or /sys, as runc does: it would hide the masked and read-only paths, and could fake the kernel's
 * state. Only the node's procfs or sysfs may be mounted there.
 * @param sourceType the kernel's name of the source's filesystem.
 * @throws CriError INVALID_ARGUMENT naming `field`.
 */
export function checkKernelTarget(target: string, sourceType: string, field: string): void {
  if (target === '/proc' || target === '/sys') {
    const own = target === '/proc' ? 'proc' : 'sysfs';
    if (sourceType === own) return;
    throw invalidArgument(field, `${target} can only be the node's ${own}; mount the volume elsewhere`);
  }
  if (isKernelTarget(target) && !SHOWN_IN_PROC.includes(target.slice('/proc/'.length))) {
    throw invalidArgument(field, `${target} belongs to the kernel; mount the volume outside /proc`);
  }
}
