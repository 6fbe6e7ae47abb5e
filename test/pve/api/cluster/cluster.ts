import { badParameters, fault } from '../../http/api-error.ts';
import { elements, vmid } from '../params/formats.ts';
import { integer, text } from '../params/property.ts';
import { parsePropertyString, propertyString, type PropertyString } from '../params/property-string.ts';
import { loadGuest } from '../../config/guest.ts';
import { numberOf, type Call, type Method } from '../method.ts';
import { ownerOf } from '../nodes/tasks.ts';
import { nameOf } from '../../state/access.ts';

const range: PropertyString = { keys: { lower: integer(100, 999999999), upper: integer(100, 1000000000) } };

const subdirectories = [
  'acme',
  'backup',
  'backup-info',
  'bulk-action',
  'ceph',
  'config',
  'firewall',
  'ha',
  'jobs',
  'log',
  'mapping',
  'metrics',
  'notifications',
  'nextid',
  'options',
  'qemu',
  'replication',
  'resources',
  'status',
  'tasks',
  'sdn',
];

function nextId({ state }: Call): string {
  const { lower = '100', upper = '1000000' } = parsePropertyString(range, state.store.options['next-id'] ?? '');
  const taken = new Set(state.guests.list().map((ref) => ref.vmid));
  for (let id = Number(lower); id < Number(upper); id += 1) if (!taken.has(id)) return String(id);
  throw fault(`unable to get any free VMID in range [${lower}, ${upper}]`);
}

function allowedTags({ state }: Call): string[] {
  const tags = state.guests.list().flatMap((ref) => elements(loadGuest(state, ref).current.values['tags']));
  return [...new Set(tags)].sort();
}

function status({ state, node }: Call): Record<string, unknown>[] {
  const nodes = state.nodes.map((name, index) => ({
    id: `node/${name}`,
    type: 'node',
    name,
    ip: '127.0.0.1',
    level: '',
    nodeid: state.nodes.length > 1 ? index + 1 : 0,
    online: state.down.has(name) ? 0 : 1,
    local: name === node ? 1 : 0,
  }));
  // A node alone is no cluster.
  if (nodes.length === 1) return nodes;
  return [
    {
      id: 'cluster',
      type: 'cluster',
      name: 'simulated',
      nodes: nodes.length,
      quorate: state.quorate ? 1 : 0,
      version: 2,
    },
    ...nodes,
  ];
}

/** What concerns the cluster as a whole. */
export const clusterMethods: readonly Method[] = [
  { verb: 'GET', path: '/version', permission: 'all', handle: ({ state }) => state.version },
  {
    verb: 'GET',
    path: '/cluster',
    permission: 'all',
    handle: ({ state }) => subdirectories.filter((name) => state.nine || name !== 'qemu').map((name) => ({ name })),
  },
  {
    verb: 'GET',
    path: '/cluster/status',
    permission: { path: '/', privileges: ['Sys.Audit'] },
    protected: true,
    handle: status,
  },
  {
    verb: 'GET',
    path: '/cluster/config/qdevice',
    permission: { path: '/', privileges: ['Sys.Audit'] },
    protected: true,
    handle: ({ state }) => (state.store.qdevice === true ? { Model: 'Net', State: 'Connected' } : {}),
  },
  {
    verb: 'GET',
    path: '/cluster/nextid',
    permission: 'all',
    parameters: { vmid: integer(100, 999999999, { format: vmid }) },
    handle: (call) => {
      const wanted = numberOf(call, 'vmid');
      if (wanted === 0) return nextId(call);
      if (call.state.guests.find(wanted) !== undefined) throw badParameters({ vmid: `VM ${wanted} already exists` });
      return String(wanted);
    },
  },
  {
    verb: 'GET',
    path: '/cluster/options',
    permission: 'all',
    handle: (call) => {
      const { 'next-id': next, ...options } = call.state.store.options;
      return {
        description: '',
        mac_prefix: 'BC:24:11',
        'allowed-tags': allowedTags(call),
        ...options,
        ...(next === undefined ? {} : { 'next-id': parsePropertyString(range, next) }),
      };
    },
  },
  {
    verb: 'PUT',
    path: '/cluster/options',
    permission: { path: '/', privileges: ['Sys.Modify'] },
    protected: true,
    parameters: {
      'next-id': propertyString(range.keys),
      delete: text(),
      description: text({ maxLength: 65536 }),
      'registered-tags': text(),
      'user-tag-access': text(),
      'tag-style': text(),
      ha: text(),
      migration: text(),
      max_workers: integer(1),
      http_proxy: text({ pattern: /http:\/\/.*/ }),
      bwlimit: text(),
      keyboard: text(),
      mac_prefix: text(),
    },
    handle: ({ state, params }) => {
      const { delete: removals, ...set } = params;
      if (set['next-id'] !== undefined) {
        const { lower = '100', upper = '1000000' } = parsePropertyString(range, String(set['next-id']));
        if (Number(lower) > Number(upper)) throw fault(`lower (${lower}) <= upper (${upper}) boundary rule broken`);
      }
      for (const key of elements(removals)) Reflect.deleteProperty(state.store.options, key);
      for (const [key, value] of Object.entries(set)) state.store.options[key] = String(value);
    },
  },
  {
    verb: 'GET',
    path: '/cluster/tasks',
    permission: 'all',
    handle: ({ state, who }) =>
      state.tasks
        .all()
        // A token does not see its own.
        .filter(({ user }) => ownerOf(user).user === nameOf(who) || state.access.allows(who, '/', ['Sys.Audit']))
        .sort((a, b) => b.starttime - a.starttime || b.pid - a.pid)
        .slice(0, 25 * state.nodes.length)
        .map(({ upid, node, starttime, endtime, type, id, user, exit }) => ({
          ...{ upid, node, starttime, type, id, ...ownerOf(user) },
          ...(exit === undefined ? {} : { endtime, status: exit }),
          saved: exit === undefined ? '0' : '1',
        })),
  },
];
