import { badParameters } from '../../http/api-error.ts';
import { oneOf } from '../params/property.ts';
import { textOf, type Call, type Method } from '../method.ts';
import { without } from '../../state/without.ts';

const types = [
  'bridge',
  'bond',
  'eth',
  'alias',
  'vlan',
  'fabric',
  'OVSBridge',
  'OVSBond',
  'OVSPort',
  'OVSIntPort',
  'vnet',
  'any_bridge',
  'any_local_bridge',
  'include_sdn',
];

function interfaces({ state }: Call): Record<string, unknown>[] {
  const bridges = state.bridges.map((iface, index) => ({
    iface,
    type: 'bridge',
    active: 1,
    autostart: 1,
    method: index === 0 ? 'static' : 'manual',
    method6: 'manual',
    families: ['inet'],
    priority: index + 3,
    bridge_ports: index === 0 ? 'nic0' : '',
    ...(index === 1 && { bridge_vlan_aware: 1, bridge_vids: '2-4094' }),
    ...(index === 0 ? { address: '192.0.2.10', netmask: '24', cidr: '192.0.2.10/24', gateway: '192.0.2.1' } : {}),
  }));
  const card = {
    iface: 'nic0',
    type: 'eth',
    active: 1,
    exists: 1,
    method: 'manual',
    method6: 'manual',
    families: ['inet'],
    priority: 2,
  };
  return [card, ...bridges];
}

function vnets({ state }: Call): Record<string, unknown>[] {
  return Object.keys(state.store.vnets).map((iface) => ({ iface, type: 'vnet', active: 1 }));
}

function visible(call: Call, iface: string): boolean {
  const zone = call.state.store.vnets[iface]?.['zone'] ?? 'localnetwork';
  return call.state.access.allows(call.who, `/sdn/zones/${zone}/${iface}`, ['SDN.Audit', 'SDN.Use'], true);
}

function list(call: Call): Record<string, unknown>[] {
  const type = textOf(call, 'type');
  const local = interfaces(call);
  const all =
    ['', 'any_bridge', 'include_sdn', 'vnet'].includes(type) && type !== '' ? [...local, ...vnets(call)] : local;
  return all.filter((found) => {
    if (found['type'] !== 'eth' && !visible(call, String(found['iface']))) return false;
    if (type === '' || type === 'include_sdn') return true;
    if (type === 'any_bridge') return found['type'] === 'bridge' || found['type'] === 'vnet';
    if (type === 'any_local_bridge') return found['type'] === 'bridge';
    return found['type'] === type;
  });
}

/** Network interfaces of a node; they cannot be changed. */
export const networkMethods: readonly Method[] = [
  {
    verb: 'GET',
    path: '/nodes/{node}/network',
    permission: 'all',
    parameters: { type: oneOf(...types) },
    handle: list,
  },
  {
    verb: 'GET',
    path: '/nodes/{node}/network/{iface}',
    permission: { path: '/nodes/{node}', privileges: ['Sys.Audit'] },
    handle: (call) => {
      const found = interfaces(call).find(({ iface }) => iface === textOf(call, 'iface'));
      if (found === undefined) throw badParameters({ iface: 'interface does not exist' });
      return without(found, 'iface');
    },
  },
];
