import { readFile } from 'node:fs/promises';
import { isErrno } from '../../../utils/errors.ts';
import type { GuestNetwork } from './guest-network.ts';

/** Of a link's flags (netdevice(7)). */
const IFF_UP = 1;

/** What keeps guests on this machine from having a network's bridge; undefined for nothing. @throws the system's error. */
export async function bridgeProblem({ field, bridge, settings }: GuestNetwork): Promise<string | undefined> {
  const place = `/sys/class/net/${bridge}`;
  const flags = await textOf(`${place}/flags`);
  if (flags === undefined) return `${field}.bridge: this node has no interface ${bridge}; create it`;
  if ((Number(flags) & IFF_UP) === 0) return `${field}.bridge: ${bridge} is down; run: ip link set ${bridge} up`;
  // Absent for bridges of Open vSwitch, which all take VLANs.
  const filtering = settings.tag === 0 ? undefined : await textOf(`${place}/bridge/vlan_filtering`);
  if (filtering === undefined || Number(filtering) === 1) return undefined;
  return `${field}.tag: ${bridge} is not VLAN-aware; make it so, see proxmox-lxcri doctor`;
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENODEV', 'EINVAL')) return undefined;
    throw error;
  }
}
