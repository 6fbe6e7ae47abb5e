import { type Finding, missing, ok, warning } from '../../../core/model/finding.ts';
import type { ProxmoxClient } from '../client.ts';
import { isKind } from '../errors/proxmox-error.ts';

const ALONE = 'when one node is down, the other creates and starts no guest';
const QDEVICE =
  'run corosync-qnetd on a third machine and corosync-qdevice on both nodes, then give it a vote, on a node (or keep the pods that must ' +
  'start then on lxc, by a rule of routing):';

/**
 * Whether the cluster has quorum, without which Proxmox creates and starts no guest. Where the token may not ask, its privileges
 * are the finding. Errors as `Api.call`.
 */
export async function checkQuorum(client: ProxmoxClient): Promise<Finding[]> {
  const subject = 'Proxmox quorum';
  try {
    const members = await client.cluster.status();
    const cluster = members.find(({ type }) => type === 'cluster');
    if (cluster === undefined) return [ok(subject, 'a node alone needs none')];
    const nodes = members.filter(({ type }) => type === 'node');
    const offline = nodes.filter(({ online }) => online !== true).map(({ name }) => name);
    const found = `${String(nodes.length - offline.length)} of ${String(nodes.length)} nodes online`;
    if (cluster.quorate !== false) {
      if (nodes.length !== 2 || (await client.cluster.hasQDevice())) return [ok(subject, found)];
      return [
        { ...warning(subject, `${found}, no QDevice: ${ALONE}`, QDEVICE), commands: ['pvecm qdevice setup ADDRESS'] },
      ];
    }
    const remedy =
      `start ${offline.join(' and ') || 'the other nodes'}, or mend the network between the nodes; only while they are certainly ` +
      'off and cannot be started, on a node that is online:';
    const votes = String(Math.max(1, nodes.length - offline.length));
    return [
      {
        ...missing(subject, `${found}: no guest can be created or started; other handlers work`, remedy),
        commands: ['pvecm status', `pvecm expected ${votes}`],
      },
    ];
  } catch (error) {
    if (isKind(error, 'forbidden')) return [];
    throw error;
  }
}
