import { badParameters, fault } from '../../http/api-error.ts';
import * as formats from '../params/formats.ts';
import { flag, oneOf, required, text } from '../params/property.ts';
import type { Pool } from '../../state/store.ts';
import { numberOf, textOf, type Call, type Method, type Permission } from '../method.ts';
import { resourcesOf } from './resources.ts';

const allocate: Permission = { path: '/pool/{poolid}', privileges: ['Pool.Allocate'] };
const pool = required(text({ format: formats.poolId }));
const kind = oneOf('qemu', 'lxc', 'storage');
const changes = {
  'allow-move': flag,
  comment: text(),
  delete: flag,
  storage: text({ format: formats.listOf(formats.storageId) }),
  vms: text({ format: formats.listOf(formats.vmid) }),
};

function find({ state }: Call, name: string): Pool {
  const found = state.store.pools[name];
  if (found === undefined) throw fault(`pool '${name}' does not exist`);
  return found;
}

async function view(call: Call, name: string): Promise<Record<string, unknown>> {
  const { comment, vms, storage } = find(call, name);
  const type = textOf(call, 'type');
  const members = (await resourcesOf(call))
    .filter((resource) => {
      if (resource['type'] === 'storage') return storage.includes(String(resource['storage']));
      return 'vmid' in resource && vms.includes(Number(resource['vmid']));
    })
    .filter((resource) => type === '' || resource['type'] === type)
    .map(({ pool: _pool, tags: _tags, lock: _lock, ...member }) => member);
  return { poolid: name, members, ...(comment === undefined ? {} : { comment }) };
}

function addGuests(call: Call, name: string, vmids: readonly number[]): void {
  const { pools } = call.state.store;
  for (const vmid of vmids) {
    const [other, holder] = Object.entries(pools).find(([, { vms }]) => vms.includes(vmid)) ?? [];
    if (other === name) throw fault(`update pools failed: VM ${vmid} is already a pool member`);
    if (holder !== undefined && numberOf(call, 'allow-move') === 0) {
      throw fault(`update pools failed: VM ${vmid} belongs already to pool '${other!}' and 'allow-move' is not set`);
    }
    if (holder !== undefined) holder.vms = holder.vms.filter((member) => member !== vmid);
    pools[name]!.vms.push(vmid);
  }
}

function update(call: Call): void {
  const { state, params } = call;
  const name = textOf(call, 'poolid');
  const found = state.store.pools[name];
  if (found === undefined) throw fault(`update pools failed: pool '${name}' does not exist`);
  const vmids = formats.elements(params['vms']).map(Number);
  const storages = formats.elements(params['storage']);
  const missing = (what: string): Error => fault(`update pools failed: ${what} is not a pool member`);
  if (params['comment'] !== undefined) found.comment = textOf(call, 'comment');
  if (numberOf(call, 'delete') === 1) {
    for (const vmid of vmids) if (!found.vms.includes(vmid)) throw missing(`VM ${vmid}`);
    for (const storage of storages) if (!found.storage.includes(storage)) throw missing(`Storage '${storage}'`);
    found.vms = found.vms.filter((vmid) => !vmids.includes(vmid));
    found.storage = found.storage.filter((storage) => !storages.includes(storage));
    return;
  }
  addGuests(call, name, vmids);
  for (const storage of storages) {
    if (found.storage.includes(storage))
      throw fault(`update pools failed: Storage '${storage}' is already a pool member`);
    found.storage.push(storage);
  }
}

function remove(call: Call): void {
  const { pools } = call.state.store;
  const name = textOf(call, 'poolid');
  const found = pools[name];
  if (found === undefined) throw fault(`delete pool failed: pool '${name}' does not exist`);
  const content = [
    ...Object.keys(pools)
      .filter((other) => other.startsWith(`${name}/`))
      .map((other) => `pool '${other}'`),
    ...found.vms.map((vmid) => `VM ${vmid}`),
    ...found.storage.map((storage) => `storage '${storage}'`),
  ];
  if (content[0] !== undefined) throw fault(`delete pool failed: pool '${name}' is not empty (contains ${content[0]})`);
  Reflect.deleteProperty(pools, name);
}

/** Pools, at their old paths and at the new one. */
export const poolMethods: readonly Method[] = [
  {
    verb: 'GET',
    path: '/pools',
    permission: 'all',
    parameters: { poolid: text({ format: formats.poolId }), type: kind },
    handle: async (call) => {
      const { state, who } = call;
      const asked = textOf(call, 'poolid');
      if (asked !== '') {
        state.access.require(who, `/pool/${asked}`, ['Pool.Audit']);
        return [await view(call, asked)];
      }
      if (textOf(call, 'type') !== '')
        throw badParameters({ type: "missing property - 'poolid' requires this property" });
      return Object.entries(state.store.pools)
        .filter(([name]) => state.access.allows(who, `/pool/${name}`, ['Pool.Audit']))
        .map(([poolid, { comment }]) => ({ poolid, ...(comment === undefined ? {} : { comment }) }));
    },
  },
  {
    verb: 'POST',
    path: '/pools',
    permission: allocate,
    protected: true,
    parameters: { poolid: pool, comment: text() },
    handle: (call) => {
      const { pools } = call.state.store;
      const name = textOf(call, 'poolid');
      if (pools[name] !== undefined) throw fault(`create pool failed: pool '${name}' already exists`);
      const parent = name.includes('/') ? name.replace(/\/[^/]+$/, '') : undefined;
      if (parent !== undefined && pools[parent] === undefined) {
        throw fault(`create pool failed: parent '${parent}' of pool '${name}' does not exist`);
      }
      const comment = textOf(call, 'comment');
      pools[name] = { vms: [], storage: [], ...(comment === '' ? {} : { comment }) };
    },
  },
  {
    verb: 'PUT',
    path: '/pools',
    permission: allocate,
    protected: true,
    parameters: { ...changes, poolid: pool },
    handle: update,
  },
  {
    verb: 'DELETE',
    path: '/pools',
    permission: allocate,
    protected: true,
    parameters: { poolid: pool },
    handle: remove,
  },
  {
    verb: 'GET',
    path: '/pools/{poolid}',
    permission: { path: '/pool/{poolid}', privileges: ['Pool.Audit'] },
    parameters: { type: kind },
    handle: (call) => view(call, textOf(call, 'poolid')),
  },
  { verb: 'PUT', path: '/pools/{poolid}', permission: allocate, protected: true, parameters: changes, handle: update },
  { verb: 'DELETE', path: '/pools/{poolid}', permission: allocate, protected: true, handle: remove },
];
