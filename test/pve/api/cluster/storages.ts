import { createHash } from 'node:crypto';
import { fault, messageOf } from '../../http/api-error.ts';
import * as formats from '../params/formats.ts';
import { flag, integer, oneOf, required, text, type Schema, type Values } from '../params/property.ts';
import { propertyString } from '../params/property-string.ts';
import { isUsable, type StorageConfig } from '../../state/store.ts';
import { textOf, type Call, type Method, type Permission } from '../method.ts';
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

/** What a storage of type `zfspool` can have, and what a directory cannot. */
const ofPoolsAlone = ['pool', 'mountpoint', 'sparse', 'blocksize'];
const poolProperties = [...ofPoolsAlone, 'content', 'nodes', 'disable', 'bwlimit'];

const keep = integer(0);
const limit = { type: 'number', minimum: 0 } as const;
const changeable: Schema = {
  blocksize: text({ format: formats.zfsBlocksize }),
  bwlimit: propertyString({ clone: limit, default: limit, migration: limit, move: limit, restore: limit }),
  content: text({ format: formats.listOf(formats.contentType) }),
  disable: flag,
  format: oneOf('raw', 'qcow2', 'subvol', 'vmdk'),
  is_mountpoint: text(),
  mkdir: flag,
  mountpoint: text({ format: formats.storagePath }),
  nodes: text({ format: formats.listOf(formats.nodeName) }),
  nocow: flag,
  pool: text(),
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
  sparse: flag,
};

function digest({ state }: Call): string {
  return createHash('sha1').update(JSON.stringify(state.store.storages)).digest('hex');
}

function configured(call: Call, storage: string): Record<string, unknown> {
  const { content, options, ...place } = call.state.volumes.config(storage);
  return { storage, ...place, content: content.join(','), ...options, digest: digest(call) };
}

/** @throws ApiError where the type has no such property, or not of that value. */
function checkProperties(type: StorageConfig['type'], values: Readonly<Values>): void {
  const pool = type === 'zfspool';
  const unexpected = Object.keys(values).find((key) =>
    pool ? !poolProperties.includes(key) : ofPoolsAlone.includes(key),
  );
  if (unexpected !== undefined) throw fault(`unexpected property '${unexpected}'`);
  const content = formats.elements(values['content']).find((one) => !['images', 'rootdir', 'none'].includes(one));
  if (pool && content !== undefined) throw fault(`storage does not support content type '${content}'`);
}

/**
 * The configuration of a storage with those properties.
 * @throws ApiError where the type does not have one, or needs one more.
 */
export function newConfig(type: StorageConfig['type'], values: Readonly<Values>): StorageConfig {
  const { path, pool, content, ...options } = values;
  checkProperties(type, values);
  const common = { content: content === undefined ? ['images', 'rootdir'] : formats.elements(content), options };
  const place = type === 'zfspool' ? pool : path;
  if (place === undefined) throw fault(`missing value for required option '${type === 'zfspool' ? 'pool' : 'path'}'`);
  return type === 'zfspool' ? { type, pool: String(place), ...common } : { type, path: String(place), ...common };
}

async function create(call: Call): Promise<Record<string, unknown>> {
  const { state, node } = call;
  const { storage: name, type, ...values } = call.params;
  const storage = String(name);
  if (type !== 'dir' && type !== 'btrfs' && type !== 'zfspool')
    throw fault(`storages of type '${String(type)}' are not part of the simulated node`);
  const config = newConfig(type, values);
  if (state.store.storages[storage] !== undefined)
    throw fault(`create storage failed: storage ID '${storage}' already defined`);
  state.store.storages[storage] = config;
  try {
    await state.volumes.added(storage);
    if (isUsable(config, node)) await state.volumes.activate(storage);
  } catch (error) {
    Reflect.deleteProperty(state.store.storages, storage);
    throw fault(`create storage failed: ${messageOf(error)}`);
  }
  return { storage, type };
}

function update(call: Call): Record<string, unknown> {
  const { state, params } = call;
  const { storage: name, delete: removals, ...values } = without(params, 'digest', 'node') as Values;
  const storage = String(name);
  const config = state.store.storages[storage];
  if (config === undefined) throw fault(`update storage failed: storage '${storage}' does not exist`);
  try {
    if (values['pool'] !== undefined && config.type === 'zfspool')
      throw fault("can't change value of fixed parameter 'pool'");
    checkProperties(config.type, values);
  } catch (error) {
    throw fault(`update storage failed: ${messageOf(error)}`);
  }
  const { content, ...rest } = values;
  if (content !== undefined) config.content = formats.elements(content);
  for (const key of formats.elements(removals)) Reflect.deleteProperty(config.options, key);
  Object.assign(config.options, rest);
  return { storage, type: config.type };
}

/** The configuration of storages. */
export const storageConfigMethods: readonly Method[] = [
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
];
