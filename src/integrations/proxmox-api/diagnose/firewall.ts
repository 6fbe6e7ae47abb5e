import { type Finding, missing, ok, warning } from '../../../core/model/finding.ts';
import type { ProxmoxClient } from '../client.ts';
import { isKind } from '../errors/proxmox-error.ts';
import type { Places } from './requirements.ts';

/**
 * Whether the firewall of the cluster is on, and the security groups of the guests exist, where networks use them. What the token
 * may not see is a finding of its privileges. Errors as `Api.call`.
 */
export async function checkFirewall(client: ProxmoxClient, { networks }: Places): Promise<Finding[]> {
  const subject = 'Proxmox firewall';
  const filtered = networks.filter(({ firewall }) => firewall);
  if (filtered.length === 0) return [];
  try {
    const needed = new Set(filtered.flatMap(({ security_groups: groups }) => groups));
    const known = (await client.firewall.groups()).map(({ group }) => group);
    const absent = [...needed].filter((group) => !known.includes(group));
    if (absent.length > 0) {
      const found = `has no security group ${absent.join(', ')}: its rules have no effect`;
      const commands = absent.map((group) => `pvesh create /cluster/firewall/groups --group ${group}`);
      return [{ ...missing(subject, found, 'create what is missing, and its rules, on a node:'), commands }];
    }
    const { enable = 0 } = await client.firewall.clusterOptions();
    if (enable > 0) return [ok(subject, ['on', ...needed].join(', '))];
    const remedy = 'allow what you need to reach the nodes in Datacenter > Firewall, and then, on a node:';
    const commands = ['pvesh set /cluster/firewall/options --enable 1'];
    return [{ ...warning(subject, 'is off: nothing is filtered for pods', remedy), commands }];
  } catch (error) {
    if (isKind(error, 'forbidden')) return [];
    throw error;
  }
}
