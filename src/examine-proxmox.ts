import { rangeOf, rangeText } from './backends/proxmox/guests/vmid-ranges.ts';
import { checkProxmoxNode } from './cli/doctor/proxmox-node.ts';
import type { Config } from './core/config/schema.ts';
import { type Finding, missing, ok } from './core/model/finding.ts';
import { poolsOf } from './core/model/guest-pools.ts';
import { diagnoseCluster } from './integrations/proxmox-api/diagnose/diagnose.ts';
import { leaveMemoryOutOfCoreDumps } from './host/processes/core-dumps.ts';
import { messageOf } from './utils/errors.ts';
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
    ...{ node, pools: poolsOf(guestPools(config)), storage, templateStorage, bridges },
    ranges: Object.entries(proxmox.vmids).map(([name, range]) => ({ node: name, ...range })),
  });
  return [...findings, checkRange(node, proxmox.vmids), ...(await checkProxmoxNode(node))];
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
