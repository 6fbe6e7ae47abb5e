import { dirname, join } from 'node:path';
import type { ProxmoxNode } from './node.ts';

/** VMIDs of each node: 110 pods, as many that are just leaving, and some more. */
const VMIDS = { first: 100_000, size: 300 };

/**
 * What setup sets in the configuration of a node, by the paths of keys. The user is the node's own, so that
 * setup of another node takes nothing from it; the VMIDs are those of every node.
 * @param storage for root filesystems; by default the first of ZFS.
 * @throws Error when the node has no storage of ZFS and none is named.
 */
export function settingsOf(node: ProxmoxNode, file: string, storage = node.zfs): ReadonlyMap<string, unknown> {
  if (storage === undefined)
    throw new Error(
      'this node has no storage of ZFS for containers: run "proxmox-lxcri setup --storage NAME" with one of "pvesm status"',
    );
  const trust: [string, unknown] =
    node.fingerprint === undefined
      ? ['proxmox.ca_file', '/etc/pve/pve-root-ca.pem']
      : ['proxmox.fingerprints', [node.fingerprint]];
  const ranges = [...node.ids].map(([name, id]) => {
    return [name, { first: VMIDS.first + VMIDS.size * (id - 1), size: VMIDS.size }] as const;
  });
  return new Map<string, unknown>([
    ['proxmox.hosts', ['localhost']],
    trust,
    ['proxmox.token_id', `lxcri-${node.name}@pve!node`],
    ['proxmox.token_file', join(dirname(file), 'token')],
    ['proxmox.pool', 'k8s'],
    ['proxmox.storage', storage],
    ['proxmox.vmids', Object.fromEntries(ranges)],
  ]);
}
