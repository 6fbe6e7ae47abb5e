import { createHash } from 'node:crypto';
import { badParameters, fault } from '../../http/api-error.ts';
import * as formats from '../params/formats.ts';
import { flag, integer, oneOf, required, text, type Schema } from '../params/property.ts';
import { propertyString } from '../params/property-string.ts';
import type { StorageConfig } from '../../state/store.ts';
import { numberOf, textOf, type Call, type Method, type Permission } from '../method.ts';
import { without } from '../../state/without.ts';

const types = [
  'btrfs',
  'cephfs',
  'cifs',
  'dir',
  'esxi',
  'iscsi',
  'iscsidirect',
  'lvm',
  'lvmthin',
  'nfs',
  'pbs',
  'rbd',
  'zfs',
  'zfspool',
];
const change: Permission = { path: '/storage', privileges: ['Datastore.Allocate'] };
const using = ['Datastore.Audit', 'Datastore.AllocateSpace'];

const keep = integer(0);
const changeable: Schema = {
  content: text({ format: formats.listOf(formats.contentType) }),
  disable: flag,
  format: oneOf('raw', 'qcow2', 'subvol', 'vmdk'),
  is_mountpoint: text(),
  mkdir: flag,
  nodes: text({ format: formats.listOf(formats.nodeName) }),
  nocow: flag,
  preallocation: oneOf('off', 'metadata', 'falloc', 'full'),
  'prune-backups': propertyString({
    'keep-all': flag,
    'keep-last': keep,
    'keep-hourly': keep,
    'keep-daily': keep,
    'keep-weekly': keep,
    'keep-monthly': keep,
    'keep-yearly': keep,
  }),
  shared: flag,
};

function digest({ state }: Call): string {
  return createHash('sha1').update(JSON.stringify(state.store.storages)).digest('hex');
}

function configured(call: Call, storage: string): Record<string, unknown> {
  const { type, path, content, options } = call.state.volumes.config(storage);
  return { storage, type, path, content: content.join(','), ...options, digest: digest(call) };
}

function nodesOf({ options }: StorageConfig): string[] | undefined {
  return options['nodes'] === undefined ? undefined : formats.elements(options['nodes']);
}

function statusEntry(call: Call, storage: string): Record<string, unknown> {
  const { type, content, options } = call.state.volumes.config(storage);
  const enabled = options['disable'] === 1 ? 0 : 1;
  const { total, used, avail } = call.state.volumes.space(storage);
  return {
    type,
    content: content.join(','),
    shared: Number(options['shared'] ?? 0),
    enabled,
    active: enabled,
    ...(enabled === 1 ? { total, used, avail } : {}),
  };
}

function statuses(call: Call): Record<string, unknown>[] {
  const { state, who, node, params } = call;
  const wanted = formats.elements(params['content']);
  return Object.entries(state.store.storages)
    .filter(([storage]) => state.access.allows(who, `/storage/${storage}`, using, true))
    .filter(([storage]) => params['storage'] === undefined || storage === params['storage'])
    .filter(([, config]) => nodesOf(config)?.includes(node) ?? true)
    .filter(([, { content }]) => wanted.length === 0 || wanted.some((type) => content.includes(type)))
    .filter(([, { options }]) => numberOf(call, 'enabled') === 0 || options['disable'] !== 1)
    .map(([storage]) => {
      const entry = statusEntry(call, storage);
      const total = Number(entry['total'] ?? 0);
      return { storage, ...entry, ...(total === 0 ? {} : { used_fraction: Number(entry['used']) / total }) };
    });
}

function create(call: Call): Record<string, unknown> {
  const { state, params } = call;
  const { storage: name, type: kind, path, content, ...rest } = params;
  const storage = String(name);
  const type = String(kind);
  if (state.store.storages[storage] !== undefined)
    throw fault(`create storage failed: storage ID '${storage}' already defined`);
  if (type !== 'dir' && type !== 'btrfs') throw fault(`storages of type '${type}' are not part of the simulated node`);
  if (path === undefined) throw fault("missing value for required option 'path'");
  state.store.storages[storage] = {
    type,
    path: String(path),
    content: content === undefined ? ['images', 'rootdir'] : formats.elements(content),
    options: rest,
  };
  state.volumes.prepare(storage);
  return { storage, type };
}

function update(call: Call): Record<string, unknown> {
  const { state, params } = call;
  const { storage: name, content, delete: removals, ...rest } = without(params, 'digest', 'node');
  const storage = String(name);
  const config = state.store.storages[storage];
  if (config === undefined) throw fault(`update storage failed: storage '${storage}' does not exist`);
  if (content !== undefined) config.content = formats.elements(content);
  for (const key of formats.elements(removals)) Reflect.deleteProperty(config.options, key);
  Object.assign(config.options, rest);
  return { storage, type: config.type };
}

/** Storages: their configuration, and their state on a node. */
export const storageMethods: readonly Method[] = [
  {
    verb: 'GET',
    path: '/storage',
    permission: 'all',
    parameters: { type: oneOf(...types) },
    handle: (call) =>
      Object.entries(call.state.store.storages)
        .filter(([storage]) => call.state.access.allows(call.who, `/storage/${storage}`, using, true))
        .filter(([, { type }]) => call.params['type'] === undefined || type === call.params['type'])
        .map(([storage]) => configured(call, storage)),
  },
  {
    verb: 'POST',
    path: '/storage',
    permission: change,
    protected: true,
    parameters: {
      ...changeable,
      storage: required(text({ format: formats.storageId })),
      type: required(oneOf(...types)),
      path: text(),
    },
    handle: create,
  },
  {
    verb: 'GET',
    path: '/storage/{storage}',
    permission: { path: '/storage/{storage}', privileges: ['Datastore.Allocate'] },
    handle: (call) => configured(call, textOf(call, 'storage')),
  },
  {
    verb: 'PUT',
    path: '/storage/{storage}',
    permission: change,
    protected: true,
    parameters: { ...changeable, delete: text({ maxLength: 4096 }), digest: text({ maxLength: 64 }) },
    handle: update,
  },
  {
    verb: 'DELETE',
    path: '/storage/{storage}',
    permission: change,
    protected: true,
    handle: (call) => {
      const storage = textOf(call, 'storage');
      const { storages } = call.state.store;
      if (storages[storage] === undefined) throw fault(`delete storage failed: storage '${storage}' does not exist`);
      Reflect.deleteProperty(storages, storage);
    },
  },
  {
    verb: 'GET',
    path: '/nodes/{node}/storage',
    permission: 'all',
    protected: true,
    parameters: {
      content: text({ format: formats.listOf(formats.contentType) }),
      enabled: flag,
      format: flag,
      storage: text({ format: formats.storageId }),
      target: text({ format: formats.nodeName }),
    },
    handle: statuses,
  },
  {
    verb: 'GET',
    path: '/nodes/{node}/storage/{storage}',
    permission: { path: '/storage/{storage}', privileges: using, any: true },
    handle: ({ state }) =>
      [
        'content',
        'download-url',
        'file-restore',
        'import-metadata',
        ...(state.nine ? ['identity', 'oci-registry-pull'] : []),
        'prunebackups',
        'rrd',
        'rrddata',
        'status',
        'upload',
      ].map((subdir) => ({ subdir })),
  },
  {
    verb: 'GET',
    path: '/nodes/{node}/storage/{storage}/status',
    permission: { path: '/storage/{storage}', privileges: using, any: true },
    protected: true,
    handle: (call) => {
      const storage = textOf(call, 'storage');
      if (call.state.store.storages[storage] === undefined) throw badParameters({ storage: 'No such storage.' });
      return statusEntry(call, storage);
    },
  },
  {
    verb: 'GET',
    path: '/nodes/{node}/storage/{storage}/prunebackups',
    permission: { path: '/storage/{storage}', privileges: using, any: true },
    protected: true,
    parameters: {
      'prune-backups': text(),
      type: oneOf('qemu', 'lxc'),
      vmid: integer(100, 999999999, { format: formats.vmid }),
    },
    handle: (call) => {
      const storage = textOf(call, 'storage');
      const { options } = call.state.volumes.config(storage);
      if (options['prune-backups'] === undefined && call.params['prune-backups'] === undefined) {
        throw fault(`no prune-backups options configured for storage '${storage}'`);
      }
      return [];
    },
  },
];
