import { rangeOf, rangeText } from './backends/proxmox/guests/vmid-ranges.ts';
import { guestNetworks, withoutAddresses } from './backends/proxmox/network/guest-network.ts';
import { checkProxmoxNode } from './cli/doctor/proxmox-node.ts';
import type { Config } from './core/config/schema.ts';
import { type Finding, missing, ok } from './core/model/finding.ts';
import { poolsOf } from './core/model/guest-pools.ts';
import { diagnoseCluster } from './integrations/proxmox-api/diagnose/diagnose.ts';
import { leaveMemoryOutOfCoreDumps } from './host/processes/core-dumps.ts';
import { messageOf } from './utils/errors.ts';
import { formatRange } from './utils/net/address-range.ts';
import { guestPools, proxmoxNodeName } from './proxmox-node.ts';

/** Checks the cluster that `[proxmox]` names, and this machine as its node, without changing them; nothing when it names none. */
export async function examineProxmox(config: Config): Promise<Finding[]> {
  const { proxmox } = config;
  if (proxmox.hosts.length === 0) return [];
  await leaveMemoryOutOfCoreDumps();
  const node = proxmoxNodeName(config);
  const { hosts, ca_file: file, fingerprints, bridges, storage, template_storage: templateStorage } = proxmox;
  const findings = await diagnoseCluster({
    hosts,
    trust: { ...(file !== '' && { ca: { file } }), ...(fingerprints.length > 0 && { fingerprints }) },
    tokenId: proxmox.token_id,
    tokenFile: proxmox.token_file,
    localRoot: proxmox.local_root_ticket ? {} : undefined,
    ...{ node, pools: poolsOf(guestPools(config)), storage, templateStorage, bridges, networks: proxmox.networks },
    ranges: Object.entries(proxmox.vmids).map(([name, range]) => ({ node: name, ...range })),
  });
  const own = [checkRange(node, proxmox.vmids), ...checkNetworks(node, config)];
  return [...findings, ...own, ...(await checkProxmoxNode(node))];
}

/** Whether the node has addresses in each network; that nodes have none in common is checked when the configuration is read. */
function checkNetworks(node: string, { proxmox, handlers }: Config): Finding[] {
  const subject = 'Proxmox networks';
  const networks = guestNetworks(proxmox.networks, node);
  const isUsed = Object.values(handlers).some((table) => table['network'] === 'proxmox');
  if (networks.length === 0 && isUsed)
    return [missing(subject, 'proxmox.networks is empty', 'describe a network of the guests, see docs/proxmox.md')];
  return networks.map((network) => {
    const [found, remedy] = withoutAddresses(network, node)?.split(/: (?=give)/) ?? [];
    if (found !== undefined && remedy !== undefined) return missing(subject, found, remedy);
    const ranges = network.subnets.flatMap((subnet) => subnet.ranges.map(formatRange));
    return ok(subject, `${ranges.join(', ')} on ${network.settings.bridge} for the pods of ${node}`);
  });
}

function checkRange(node: string, vmids: Config['proxmox']['vmids']): Finding {
  const subject = 'Proxmox VMIDs';
  try {
    return ok(subject, `${rangeText(rangeOf(node, vmids, 'proxmox.vmids'))} for the pods of ${node}`);
  } catch (error) {
    const [found = '', remedy = ''] = messageOf(error).split(/: (?=give)/);
    return missing(subject, found, remedy);
  }
}
