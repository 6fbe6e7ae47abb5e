/** What the node has that shapes a generated LXC configuration. */
export interface LxcSurroundings {
  /** MTU by bridge, bytes. */
  bridges: Record<string, number>;
  /** Device nodes by path; a path that is none of them does not exist. */
  devices: Record<string, { type: 'b' | 'c'; major: number; minor: number }>;
  /** The CPUs that guests may use, ascending. */
  cpus: readonly number[];
  /** Whether the directory of LXC's configurations has the file, such as `debian.common.conf`. */
  hasLxcFile: (name: string) => boolean;
  /** Where the guests' directories are, `/var/lib/lxc` on a node. */
  lxcPath: string;
  /** From 0 to below 1, picks the CPUs of a guest that has fewer than all. */
  random: () => number;
  /** The address of a network that has none. */
  randomMac: () => string;
}

/** Proxmox gives up on the configuration; the message is its own, without the place in its program. */
export class LxcConfigFailure extends Error {}

/** A node with one CPU, no bridge and no device beyond the files of LXC itself; `changes` say otherwise. */
export function surroundings(changes: Partial<LxcSurroundings> = {}): LxcSurroundings {
  const byte = (): string =>
    Math.floor(Math.random() * 256)
      .toString(16)
      .toUpperCase()
      .padStart(2, '0');
  return {
    bridges: {},
    devices: {},
    cpus: [0],
    hasLxcFile: () => false,
    lxcPath: '/var/lib/lxc',
    random: Math.random,
    randomMac: () => `BC:24:11:${byte()}:${byte()}:${byte()}`,
    ...changes,
  };
}
