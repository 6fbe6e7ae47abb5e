import { randomUUID } from 'node:crypto';
import * as formats from '../params/formats.ts';
import { flag, integer, oneOf, required, text } from '../params/property.ts';
import { textOf, type Call, type Method } from '../method.ts';
import { entryMethods } from './entries.ts';

const audit = { path: '/', privileges: ['Sys.Audit'] };

function serviceOf(call: Call): string {
  const sid = textOf(call, 'sid');
  if (!/^\d+$/.test(sid)) return sid;
  const ref = call.state.guests.find(Number(sid));
  return `${ref?.kind.type === 'qemu' ? 'vm' : 'ct'}:${sid}`;
}

const ha = entryMethods({
  path: '/cluster/ha/resources',
  key: 'sid',
  entries: ({ state }) => state.store.ha,
  look: audit,
  change: { path: '/', privileges: ['Sys.Console'] },
  parameters: {
    comment: text(),
    failback: { ...flag, only: '9' },
    group: text(),
    max_relocate: integer(0),
    max_restart: integer(0),
    state: oneOf('started', 'stopped', 'enabled', 'disabled', 'ignored'),
  },
  creation: { sid: required(text()), type: oneOf('ct', 'vm') },
  nameOf: serviceOf,
  standard: (sid) => ({ type: sid.split(':')[0]!, state: 'started' }),
  missing: (sid) => `no such resource '${sid}'`,
  taken: (sid) => `resource ID '${sid}' already defined`,
  refuse: ({ state }, sid) => {
    const vmid = Number(sid.split(':')[1]);
    return state.guests.find(vmid) === undefined ? `resource '${sid}' does not exist in cluster` : undefined;
  },
});

/** A job takes a list of guests, a pool, or all but some; a new choice replaces the others. */
function settleSelection(values: Record<string, string | number>, given: Record<string, string | number>): void {
  const drop = (...keys: string[]) => {
    for (const key of keys) Reflect.deleteProperty(values, key);
  };
  if (values['exclude'] !== undefined && values['pool'] === undefined) values['all'] = 1;
  if (given['vmid'] !== undefined) drop('all', 'exclude', 'pool');
  else if (given['all'] === 1) drop('vmid', 'pool');
  else if (values['pool'] !== undefined) drop('vmid', 'all', 'exclude');
}

const backup = entryMethods({
  path: '/cluster/backup',
  key: 'id',
  entries: ({ state }) => state.store.backups,
  look: audit,
  change: { path: '/', privileges: ['Sys.Modify'] },
  parameters: {
    all: flag,
    bwlimit: integer(0),
    comment: text({ maxLength: 512 }),
    compress: oneOf('0', '1', 'gzip', 'lzo', 'zstd'),
    enabled: flag,
    exclude: text({ format: formats.listOf(formats.vmid) }),
    mailnotification: oneOf('always', 'failure'),
    mailto: text(),
    mode: oneOf('snapshot', 'suspend', 'stop'),
    node: text({ format: formats.nodeName }),
    'notes-template': text({ maxLength: 1024 }),
    'notification-mode': text(),
    pool: text({ format: formats.poolId }),
    protected: flag,
    'prune-backups': text(),
    'repeat-missed': flag,
    schedule: text({ maxLength: 128 }),
    storage: text({ format: formats.storageId }),
    vmid: text({ format: formats.listOf(formats.vmid) }),
  },
  creation: { id: text() },
  settle: settleSelection,
  nameOf: (call) => textOf(call, 'id') || `backup-${randomUUID().slice(0, 13)}`,
  standard: () => ({ enabled: 1, mode: 'snapshot' }),
  guarded: false,
  missing: (id) => `No such job '${id}'`,
  taken: (id) => `Job '${id}' already exists`,
});

const sdnLook = 'all' as const;
const sdnChange = { path: '/sdn/zones', privileges: ['SDN.Allocate'] };

const zones = entryMethods({
  path: '/cluster/sdn/zones',
  key: 'zone',
  entries: ({ state }) => state.store.zones,
  look: sdnLook,
  change: sdnChange,
  parameters: {
    bridge: text(),
    ipam: text(),
    mtu: integer(),
    nodes: text(),
    tag: integer(0),
    peers: text(),
    dhcp: oneOf('dnsmasq'),
  },
  creation: {
    zone: required(text({ pattern: /[a-z][a-z0-9]{0,7}/ })),
    type: required(oneOf('evpn', 'faucet', 'qinq', 'simple', 'vlan', 'vxlan')),
  },
  missing: (zone) => `sdn zone '${zone}' does not exist`,
  taken: (zone) => `sdn zone object ID '${zone}' already defined`,
});

const vnets = entryMethods({
  path: '/cluster/sdn/vnets',
  key: 'vnet',
  entries: ({ state }) => state.store.vnets,
  look: sdnLook,
  change: sdnChange,
  parameters: {
    alias: text({ maxLength: 256 }),
    'isolate-ports': flag,
    tag: integer(1, 16777215),
    vlanaware: flag,
    zone: text(),
  },
  creation: { vnet: required(text({ pattern: /[a-z][a-z0-9]{0,7}/ })), zone: required(text()), type: oneOf('vnet') },
  standard: () => ({ type: 'vnet' }),
  missing: (vnet) => `sdn vnet '${vnet}' does not exist`,
  taken: (vnet) => `sdn vnet object ID '${vnet}' already defined`,
  refuse: ({ state, params }) =>
    state.store.zones[String(params['zone'])] === undefined
      ? `sdn zone '${String(params['zone'])}' does not exist`
      : undefined,
});

const haStatus: Method = {
  verb: 'GET',
  path: '/cluster/ha/status/current',
  permission: audit,
  handle: ({ state, node }) => [
    { id: 'quorum', type: 'quorum', node, status: 'OK', quorate: 1 },
    ...Object.entries(state.store.ha).map(([sid, values]) => ({
      id: `service:${sid}`,
      type: 'service',
      sid,
      node: state.guests.find(Number(sid.split(':')[1]))?.node ?? node,
      state: String(values['state'] ?? 'started'),
      status: `${sid} (${String(values['state'] ?? 'started')})`,
    })),
  ],
};

/** Backup jobs, HA resources, SDN zones and vnets. */
export const configuredMethods: readonly Method[] = [...backup, haStatus, ...ha, ...zones, ...vnets];
