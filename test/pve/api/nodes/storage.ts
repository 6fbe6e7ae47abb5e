import { badParameters, fault } from '../../http/api-error.ts';
import * as formats from '../params/formats.ts';
import { flag, integer, oneOf, text } from '../params/property.ts';
import { isUsable } from '../../state/store.ts';
import { numberOf, textOf, type Call, type Method } from '../method.ts';

const using = ['Datastore.Audit', 'Datastore.AllocateSpace'];

function isEnabled({ state, node }: Call, storage: string): boolean {
  return isUsable(state.volumes.config(storage), node);
}

async function statusEntry(call: Call, storage: string): Promise<Record<string, unknown>> {
  const { state } = call;
  const { type, content, options } = state.volumes.config(storage);
  const enabled = isEnabled(call, storage);
  const room = enabled ? await state.volumes.space(storage) : undefined;
  return {
    type,
    content: content.join(','),
    shared: Number(options['shared'] ?? 0),
    enabled: enabled ? 1 : 0,
    active: room === undefined ? 0 : 1,
    ...(room ?? { total: 0, used: 0, avail: 0 }),
  };
}

async function statuses(call: Call): Promise<Record<string, unknown>[]> {
  const { state, who, params } = call;
  const wanted = formats.elements(params['content']);
  const found = Object.entries(state.store.storages)
    .filter(([storage]) => state.access.allows(who, `/storage/${storage}`, using, true))
    .filter(([storage]) => params['storage'] === undefined || storage === params['storage'])
    .filter(
      ([storage, { content }]) =>
        wanted.length === 0 || (isEnabled(call, storage) && wanted.some((type) => content.includes(type))),
    )
    .filter(([, { options }]) => numberOf(call, 'enabled') === 0 || options['disable'] !== 1);
  return Promise.all(
    found.map(async ([storage]) => {
      const entry = await statusEntry(call, storage);
      const total = Number(entry['total']);
      return { storage, ...entry, ...(total === 0 ? {} : { used_fraction: Number(entry['used']) / total }) };
    }),
  );
}

/** The state of storages on a node. */
export const storageMethods: readonly Method[] = [
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
