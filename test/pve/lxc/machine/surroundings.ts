import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import type { LxcSurroundings } from '../../guest-config/lxc/surroundings.ts';

const NETWORKS = '/sys/class/net';

/** The bridges of this machine with their MTU in bytes. */
export function bridges(): Record<string, number> {
  const names = readdirSync(NETWORKS).filter((name) => existsSync(`${NETWORKS}/${name}/bridge`));
  return Object.fromEntries(names.map((name) => [name, Number(readFileSync(`${NETWORKS}/${name}/mtu`, 'utf8'))]));
}

function cpus(): number[] {
  const own = '/sys/fs/cgroup/cpuset.cpus.effective';
  // Without the controller, every processor.
  const list = readFileSync(existsSync(own) ? own : '/sys/devices/system/cpu/online', 'utf8').trim();
  return list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}

/** The device node at `path`; undefined for what is none. */
export function deviceAt(path: string): LxcSurroundings['devices'][string] | undefined {
  const status = statSync(path, { throwIfNoEntry: false });
  if (status === undefined || !(status.isBlockDevice() || status.isCharacterDevice())) return undefined;
  // Linux's encoding: the low byte of the minor number, the major, the rest of the minor.
  const [major, minor] = [(status.rdev >> 8) & 0xfff, (status.rdev & 0xff) | ((status.rdev >> 12) & 0xfff00)];
  return { type: status.isBlockDevice() ? 'b' : 'c', major, minor };
}

/** What this machine has that shapes an LXC configuration, for a guest with devices at `devices`. */
export function surroundings(lxcPath: string, devices: readonly string[]): Partial<LxcSurroundings> {
  const found = devices.flatMap((path) => {
    const device = deviceAt(path);
    return device === undefined ? [] : [[path, device] as const];
  });
  return {
    lxcPath,
    bridges: bridges(),
    devices: Object.fromEntries(found),
    cpus: cpus(),
    hasLxcFile: (name) => existsSync(`/usr/share/lxc/config/${name}`),
  };
}
