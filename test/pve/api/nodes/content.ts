import { badParameters, fault, forbidden } from '../../http/api-error.ts';
import * as formats from '../params/formats.ts';
import { flag, integer, oneOf, required, text } from '../params/property.ts';
import { parseSize } from '../../config/sizes.ts';
import type { Volume } from '../../storage/storage.ts';
import { textOf, type Call, type Method } from '../method.ts';
import { without } from '../../state/without.ts';

const base = '/nodes/{node}/storage/{storage}/content';
const using = ['Datastore.Audit', 'Datastore.AllocateSpace'];

/** The whole name of the volume that the path has, which may leave out the storage. */
function volidOf(call: Call): string {
  const storage = textOf(call, 'storage');
  const volume = textOf(call, 'volume');
  const [, named] = /^([a-z][a-z0-9\-_.]*[a-z0-9]):/i.exec(volume) ?? [];
  if (named !== undefined && named !== storage)
    throw badParameters({ volume: `storage ID mismatch (${named} != ${storage})\n` });
  return named === undefined ? `${storage}:${volume}` : volume;
}

function entry({ state }: Call, volume: Volume): Record<string, unknown> {
  const { vmid } = volume;
  if (vmid === undefined) return without(volume, 'used');
  return { ...volume, content: state.guests.find(vmid)?.kind.type === 'lxc' ? 'rootdir' : 'images' };
}

/** Whether the caller may use a volume of the guest: who may audit a storage sees the volumes of guests by their disks. */
function mayUse({ state, who }: Call, storage: string, owner: number): boolean {
  const path = `/storage/${storage}`;
  if (state.access.allows(who, path, ['Datastore.Allocate'])) return true;
  return (
    state.access.allows(who, path, ['Datastore.Audit']) && state.access.allows(who, `/vms/${owner}`, ['VM.Config.Disk'])
  );
}

async function list(call: Call): Promise<Record<string, unknown>[]> {
  const { state, params } = call;
  const storage = textOf(call, 'storage');
  const vmid = params['vmid'] === undefined ? undefined : Number(params['vmid']);
  state.requireStorage(storage, call.node);
  const images = await state.volumes.images(storage, vmid);
  const files = vmid === undefined ? state.volumes.files(storage) : [];
  return [...images, ...files]
    .filter(({ vmid: owner }) => owner === undefined || mayUse(call, storage, owner))
    .map((volume) => entry(call, volume))
    .filter(({ content }) => params['content'] === undefined || content === params['content']);
}

function allocate(call: Call): Promise<string> {
  const { state } = call;
  const storage = textOf(call, 'storage');
  const filename = textOf(call, 'filename');
  const suffix = /\.(raw|qcow2|vmdk|subvol)$/.exec(filename)?.[1];
  const format = textOf(call, 'format') || (suffix ?? 'raw');
  if (suffix !== undefined && suffix !== format) {
    throw badParameters({ format: `different storage formats (${format} != ${suffix})` });
  }
  state.requireStorage(storage, call.node);
  state.requireSpace(storage);
  const written = textOf(call, 'size');
  const kibibytes = /[MG]$/.test(written) ? parseSize(written) / 1024 : Number(written);
  const vmid = Number(call.params['vmid']);
  return state.volumes.allocate(storage, { vmid, format, size: kibibytes * 1024, name: filename });
}

function requireVolume({ state, who }: Call, volid: string, privilege: string): void {
  const storage = volid.split(':')[0]!;
  if (!state.access.allows(who, `/storage/${storage}`, [privilege]))
    throw forbidden(`/storage/${storage}, ${privilege}`);
}

async function remove(call: Call): Promise<string | null> {
  const { state } = call;
  const volid = volidOf(call);
  state.volumes.path(volid);
  requireVolume(call, volid, 'Datastore.Allocate');
  const storage = textOf(call, 'storage');
  const owner = state.volumes.owner(volid);
  const upid = call.fork('imgdel', owner === undefined ? storage : `${owner}@${storage}`, async ({ log }) => {
    await state.pause(200);
    await state.volumes.free(volid);
    log(`Removed volume '${volid}'`);
  });
  if (call.params['delay'] === undefined) return upid;
  // With a delay the node waits so long for the end, and then has no task to tell of.
  await state.tasks.ended(upid);
  return state.tasks.get(upid)?.exit === 'OK' ? null : upid;
}

/** Volumes of storages. */
export const contentMethods: readonly Method[] = [
  {
    verb: 'GET',
    path: base,
    permission: { path: '/storage/{storage}', privileges: using, any: true },
    protected: true,
    parameters: {
      content: text({ format: formats.contentType }),
      vmid: integer(100, 999999999, { format: formats.vmid }),
    },
    handle: list,
  },
  {
    verb: 'POST',
    path: base,
    permission: { path: '/storage/{storage}', privileges: ['Datastore.AllocateSpace'] },
    protected: true,
    parameters: {
      filename: required(text()),
      size: required(text({ pattern: /\d+[MG]?/ })),
      vmid: required(integer(100, 999999999, { format: formats.vmid })),
      format: oneOf('raw', 'qcow2', 'subvol', 'vmdk'),
    },
    handle: allocate,
  },
  {
    verb: 'GET',
    path: `${base}/{volume}`,
    permission: 'all',
    protected: true,
    handle: async (call) => {
      const volid = volidOf(call);
      requireVolume(call, volid, 'Datastore.Audit');
      const volume = await call.state.volumes.stat(volid);
      if (volume === undefined) throw fault(`volume_size_info on '${volid}' failed - no format`);
      const { format, size, used } = volume;
      const path = call.state.volumes.path(volid);
      // What is no image is measured as a raw one: in whole sectors.
      if (volume.vmid === undefined) return { path, format: 'raw', size: Math.ceil(size / 512) * 512, used };
      return { path, format, size, used };
    },
  },
  {
    verb: 'PUT',
    path: `${base}/{volume}`,
    permission: 'all',
    protected: true,
    parameters: { notes: text(), protected: flag },
    handle: (call) => {
      requireVolume(call, volidOf(call), 'Datastore.Allocate');
      throw fault('only backups can have notes');
    },
  },
  {
    verb: 'DELETE',
    path: `${base}/{volume}`,
    permission: 'all',
    protected: true,
    parameters: { delay: integer(1, 30) },
    handle: remove,
  },
];
