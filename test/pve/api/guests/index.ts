import { flag, integer, oneOf, required, text } from '../params/property.ts';
import * as formats from '../params/formats.ts';
import { createGuest } from '../../guests/create.ts';
import { destroyGuest } from '../../guests/destroy.ts';
import type { Kind } from '../../config/kind.ts';
import { fullStatus, machineStatus } from '../../guests/machine.ts';
import { haOf, interfacesOf, statusOf } from '../../guests/status.ts';
import { fault } from '../../http/api-error.ts';
import { numberOf, type Method } from '../method.ts';
import { guestOf, guestPath, onGuest } from './common.ts';

const creation = {
  lxc: {
    ostemplate: required(text({ maxLength: 255 })),
    force: flag,
    'ignore-unpack-errors': flag,
    password: text({ minLength: 5 }),
    restore: flag,
    'ssh-public-keys': text(),
    unique: flag,
    bwlimit: { type: 'number', minimum: 0 },
  },
  qemu: {
    archive: text({ maxLength: 255 }),
    force: flag,
    unique: flag,
    'live-restore': flag,
    bwlimit: integer(0),
    'import-working-storage': text({ format: formats.storageId }),
  },
} as const;

const subdirectories = {
  lxc: [
    'config',
    'pending',
    'status',
    'vncproxy',
    'termproxy',
    'vncwebsocket',
    'spiceproxy',
    'migrate',
    'clone',
    'rrd',
    'rrddata',
    'firewall',
    'snapshot',
    'resize',
    'interfaces',
  ],
  qemu: [
    'config',
    'pending',
    'status',
    'unlink',
    'vncproxy',
    'termproxy',
    'migrate',
    'resize',
    'move',
    'rrd',
    'rrddata',
    'monitor',
    'agent',
    'snapshot',
    'spiceproxy',
    'sendkey',
    'firewall',
    'mtunnel',
    'remote_migrate',
  ],
};

/** Lists, creation and deletion of guests, and what they answer of themselves. */
export function indexMethods(kind: Kind): Method[] {
  const list = `/nodes/{node}/${kind.type}`;
  const methods: Method[] = [
    {
      verb: 'GET',
      path: list,
      permission: 'all',
      protected: true,
      ...(kind.type === 'qemu' ? { parameters: { full: flag } } : {}),
      handle: (call) => {
        const { state, who, node } = call;
        const refs = state.guests
          .list()
          .filter((ref) => ref.node === node && ref.kind === kind)
          .filter(({ vmid }) => state.access.allows(who, `/vms/${vmid}`, ['VM.Audit']));
        if (numberOf(call, 'full') === 0) return refs.map((ref) => statusOf(state, ref));
        return Promise.all(refs.map(async (ref) => ({ ...statusOf(state, ref), ...(await fullStatus(state, ref)) })));
      },
    },
    {
      verb: 'POST',
      path: list,
      permission: 'all',
      protected: true,
      parameters: {
        ...kind.keys,
        ...creation[kind.type],
        vmid: required(integer(100, 999999999, { format: formats.vmid })),
        pool: text({ format: formats.poolId }),
        storage: text({ format: formats.storageId }),
        start: flag,
        'ha-managed': { ...flag, only: '9' },
      },
      handle: (call) => createGuest(call, kind),
    },
    {
      verb: 'GET',
      path: guestPath(kind),
      permission: 'all',
      handle: () => subdirectories[kind.type].map((subdir) => ({ subdir })),
    },
    {
      verb: 'DELETE',
      path: guestPath(kind),
      permission: onGuest('VM.Allocate'),
      protected: true,
      parameters: {
        'destroy-unreferenced-disks': flag,
        purge: flag,
        ...(kind.type === 'lxc' ? { force: flag } : { skiplock: flag }),
      },
      handle: (call) => destroyGuest(call, guestOf(call, kind)),
    },
    {
      verb: 'GET',
      path: guestPath(kind, '/status/current'),
      permission: onGuest('VM.Audit'),
      protected: true,
      handle: async (call) => {
        const ref = guestOf(call, kind);
        const status = { ...statusOf(call.state, ref), ha: haOf(call.state, ref) };
        return kind.type === 'lxc' ? status : { ...status, ...(await machineStatus(call.state, ref)) };
      },
    },
    {
      verb: 'GET',
      path: guestPath(kind, '/rrddata'),
      permission: onGuest('VM.Audit'),
      protected: true,
      parameters: {
        timeframe: required(oneOf('hour', 'day', 'week', 'month', 'year')),
        cf: oneOf('AVERAGE', 'MAX'),
      },
      handle: (call) => {
        const { vmid } = guestOf(call, kind);
        const file = call.state.nine ? 'pve-vm-9.0' : 'pve2-vm';
        throw fault(`RRD error: opening '/var/lib/rrdcached/db/${file}/${vmid}': No such file or directory`);
      },
    },
  ];
  if (kind.type === 'lxc') {
    methods.push({
      verb: 'GET',
      path: guestPath(kind, '/interfaces'),
      permission: onGuest('VM.Audit'),
      protected: true,
      handle: (call) => interfacesOf(call.state, guestOf(call, kind)),
    });
  }
  return methods;
}
