import * as formats from '../params/formats.ts';
import { flag, integer, oneOf, required, text } from '../params/property.ts';
import { cloneGuest, hasFeature, makeTemplate } from '../../guests/clone.ts';
import type { Kind } from '../../config/kind.ts';
import { migrateGuest, migrationPreconditions } from '../../guests/migrate.ts';
import { resizeGuest } from '../../guests/resize.ts';
import type { Method, Permission } from '../method.ts';
import { guestOf, guestPath, onGuest } from './common.ts';

const numbered = (name: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${name}${index}`);

const disks: Record<Kind['type'], string[]> = {
  lxc: ['rootfs', ...numbered('mp', 256)],
  qemu: [
    ...numbered('ide', 4),
    ...numbered('scsi', 31),
    ...numbered('virtio', 16),
    ...numbered('sata', 6),
    'efidisk0',
    'tpmstate0',
  ],
};

const cloning: Permission = {
  and: [
    onGuest('VM.Clone'),
    {
      or: [
        { path: '/vms/{newid}', privileges: ['VM.Allocate'] },
        { path: '/pool/{pool}', privileges: ['VM.Allocate'] },
      ],
    },
  ],
};

/** Clones, templates, resizing, migration and what they need. */
export function copyMethods(kind: Kind): Method[] {
  const container = kind.type === 'lxc';
  return [
    {
      verb: 'POST',
      path: guestPath(kind, '/clone'),
      permission: cloning,
      protected: true,
      parameters: {
        newid: required(integer(100, 999999999, { format: formats.vmid })),
        bwlimit: container ? { type: 'number', minimum: 0 } : integer(0),
        description: text(),
        full: flag,
        [kind.nameKey]: text({ format: formats.dnsName }),
        pool: text({ format: formats.poolId }),
        snapname: text({ format: formats.configId, maxLength: 40 }),
        storage: text({ format: formats.storageId }),
        target: text({ format: formats.nodeName }),
        ...(container ? {} : { format: oneOf('raw', 'qcow2', 'vmdk') }),
      },
      handle: (call) => cloneGuest(call, guestOf(call, kind)),
    },
    {
      verb: 'POST',
      path: guestPath(kind, '/template'),
      permission: onGuest('VM.Allocate'),
      protected: true,
      ...(container ? {} : { parameters: { disk: oneOf(...disks.qemu) } }),
      handle: (call) => {
        const upid = makeTemplate(call, guestOf(call, kind));
        // The task of a container's template is not told.
        return container ? null : upid;
      },
    },
    {
      verb: 'PUT',
      path: guestPath(kind, '/resize'),
      permission: onGuest('VM.Config.Disk'),
      protected: true,
      parameters: {
        disk: required(oneOf(...disks[kind.type])),
        size: required(text({ pattern: /\+?\d+(\.\d+)?[KMGT]?/ })),
        digest: text({ maxLength: 40 }),
        ...(container ? {} : { skiplock: flag }),
      },
      handle: (call) => resizeGuest(call, guestOf(call, kind)),
    },
    {
      verb: 'GET',
      path: guestPath(kind, '/feature'),
      permission: onGuest('VM.Audit'),
      protected: true,
      parameters: {
        feature: required(oneOf('snapshot', 'clone', 'copy')),
        snapname: text({ format: formats.configId, maxLength: 40 }),
      },
      handle: (call) => {
        const answer = { hasFeature: hasFeature(call, guestOf(call, kind)) };
        return container ? answer : { ...answer, nodes: [...call.state.nodes] };
      },
    },
    {
      verb: 'GET',
      path: guestPath(kind, '/migrate'),
      permission: onGuest('VM.Migrate'),
      protected: true,
      ...(container ? { only: '9' } : {}),
      parameters: { target: text({ format: formats.nodeName }) },
      handle: (call) => migrationPreconditions(call, guestOf(call, kind)),
    },
    {
      verb: 'POST',
      path: guestPath(kind, '/migrate'),
      permission: onGuest('VM.Migrate'),
      protected: true,
      parameters: {
        target: required(text({ format: formats.nodeName })),
        online: flag,
        bwlimit: container ? { type: 'number', minimum: 0 } : integer(0),
        ...(container
          ? { restart: flag, timeout: integer(), 'target-storage': text() }
          : {
              force: flag,
              migration_network: text(),
              migration_type: oneOf('secure', 'insecure'),
              targetstorage: text(),
              'with-local-disks': flag,
            }),
      },
      handle: (call) => migrateGuest(call, guestOf(call, kind)),
    },
  ];
}
