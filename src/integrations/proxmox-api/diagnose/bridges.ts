import { type Finding, missing, ok } from '../../../core/model/finding.ts';
import type { ProxmoxClient } from '../client.ts';
import type { Places } from './requirements.ts';
import { networkPath } from './requirements.ts';

/**
 * Whether the bridges of the guests are there and up, and VLAN-aware where guests are in a VLAN. One that the token may not see is a finding of its privileges, not of
 * the bridge. Errors as `Api.call`.
 */
export async function checkBridges(client: ProxmoxClient, { node, bridges, networks }: Places): Promise<Finding[]> {
  const known = await client.networks.interfaces(node, 'any_bridge');
  const findings: Finding[] = [];
  for (const bridge of new Set([...bridges, ...networks.map((network) => network.bridge)])) {
    const subject = `${bridges.includes(bridge) ? 'proxmox.bridges' : 'proxmox.networks'} ${bridge}`;
    const tags = networks.filter((network) => network.bridge === bridge && network.tag !== 0).map(({ tag }) => tag);
    const [name = '', zone] = bridge.split('/').reverse();
    const found = known.find(({ iface }) => iface === name);
    if (found?.type === 'bridge' && found.bridge_vlan_aware !== true && tags.length > 0) {
      // No command: a change of the bridge by the API without its addresses takes them from the node.
      const remedy = `check "VLAN aware" of ${name} in ${node} > System > Network, and apply the configuration`;
      findings.push(missing(subject, `is not VLAN-aware, and guests are in VLAN ${tags.join(', ')}`, remedy));
    } else if (found !== undefined && found.active !== false) {
      const aware = found.bridge_vlan_aware === true ? ', VLAN-aware' : '';
      findings.push(ok(subject, `${found.type}${aware}, active on ${node}`));
    } else if (found !== undefined) {
      const remedy = { ...missing(subject, `is not active on ${node}`, 'activate it, on the node:') };
      findings.push({ ...remedy, commands: zone === undefined ? [`ifup ${name}`] : ['pvesh set /cluster/sdn'] });
    } else if (await maySee(client, bridge)) {
      const others = known.map(({ iface }) => iface).join(', ') || 'none';
      const remedy = 'correct the configuration, or create it, on a node:';
      const commands = zone === undefined ? createBridge(node, name) : createVnet(name, zone);
      findings.push({ ...missing(subject, `node ${node} has no such bridge (${others})`, remedy), commands });
    }
  }
  return findings;
}

async function maySee(client: ProxmoxClient, bridge: string): Promise<boolean> {
  const path = networkPath(bridge);
  const privileges = (await client.access.permissions(path))[path] ?? {};
  return ['SDN.Use', 'SDN.Audit'].some((name) => Object.hasOwn(privileges, name));
}

/** The second line applies what the first one plans. */
function createBridge(node: string, name: string): string[] {
  const path = `/nodes/${node}/network`;
  return [`pvesh create ${path} --iface ${name} --type bridge --autostart 1`, `pvesh set ${path}`];
}

function createVnet(name: string, zone: string): string[] {
  return [`pvesh create /cluster/sdn/vnets --vnet ${name} --zone ${zone}`, 'pvesh set /cluster/sdn'];
}
