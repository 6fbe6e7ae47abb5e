import { badParameters, fault } from '../../http/api-error.ts';
import { elements, configId, listOf } from '../params/formats.ts';
import { flag, integer, knownTo, text } from '../params/property.ts';
import { loadGuest } from '../../config/guest.ts';
import type { Kind } from '../../config/kind.ts';
import { checkModify } from '../../guests/modify-permission.ts';
import { updateGuest, type Update } from '../../guests/update.ts';
import { configView, pendingView, snapshotView } from '../../config/views.ts';
import { numberOf, textOf, type Call, type Method } from '../method.ts';
import { guestOf, guestPath, onGuest, requireRootFor } from './common.ts';

const apart = new Set(['node', 'vmid', 'delete', 'revert', 'digest', 'skiplock', 'background_delay', 'force']);

const classes: Record<Kind['type'], string[]> = {
  lxc: ['Disk', 'CPU', 'Memory', 'Network', 'Options'],
  qemu: ['Disk', 'CDROM', 'CPU', 'Memory', 'Network', 'HWType', 'Options', 'Cloudinit'],
};

function updateOf(call: Call, kind: Kind): Update {
  const set = Object.fromEntries(Object.entries(call.params).filter(([key]) => !apart.has(key)));
  const remove = elements(call.params['delete']);
  const revert = elements(call.params['revert']);
  for (const [parameter, keys] of [
    ['delete', remove],
    ['revert', revert],
  ] as const) {
    for (const key of keys) {
      const property = kind.keys[key];
      if (property === undefined || !knownTo(property, call.state.release)) {
        throw badParameters({ [parameter]: `unknown option '${key}'` });
      }
    }
  }
  if (Object.keys(set).length + remove.length + revert.length === 0) throw fault('no options specified');
  return { set, remove, revert, digest: textOf(call, 'digest') };
}

/** Checks an update and returns what does it. */
function prepare(call: Call, kind: Kind): () => Promise<void> {
  const { state, who } = call;
  const ref = guestOf(call, kind);
  const update = updateOf(call, kind);
  requireRootFor(call, 'skiplock');
  const privileged = kind.type === 'lxc' && loadGuest(state, ref).current.values['unprivileged'] !== '1';
  checkModify(state, { who, node: ref.node, kind, vmid: ref.vmid, set: update.set, remove: update.remove, privileged });
  return () => updateGuest(state, ref, update);
}

/** Reading and changing configurations. */
export function configMethods(kind: Kind): Method[] {
  const path = guestPath(kind, '/config');
  const permission = onGuest(...classes[kind.type].map((name) => `VM.Config.${name}`));
  const parameters = {
    ...kind.keys,
    delete: text({ format: listOf(configId) }),
    digest: text({ maxLength: 40 }),
    revert: text({ format: listOf(configId) }),
    ...(kind.type === 'qemu' ? { skiplock: flag, force: flag } : {}),
  };
  const methods: Method[] = [
    {
      verb: 'GET',
      path,
      permission: onGuest('VM.Audit'),
      parameters: { current: flag, snapshot: text({ format: configId, maxLength: 40 }) },
      handle: (call) => {
        const { state, who } = call;
        const ref = guestOf(call, kind);
        const config = loadGuest(state, ref);
        const snapshot = textOf(call, 'snapshot');
        const view: Record<string, unknown> =
          snapshot === ''
            ? configView(kind, config, numberOf(call, 'current') === 1)
            : { ...snapshotView(kind, config, snapshot), digest: config.digest };
        // The environment may hold secrets: who may not change options does not see it.
        if (!state.access.allows(who, `/vms/${ref.vmid}`, ['VM.Config.Options'])) Reflect.deleteProperty(view, 'env');
        return view;
      },
    },
    {
      verb: 'PUT',
      path,
      permission,
      protected: true,
      parameters,
      handle: async (call) => prepare(call, kind)(),
    },
    {
      verb: 'GET',
      path: guestPath(kind, '/pending'),
      permission: onGuest('VM.Audit'),
      handle: (call) => pendingView(kind, loadGuest(call.state, guestOf(call, kind))),
    },
  ];
  if (kind.type === 'qemu') {
    methods.push({
      verb: 'POST',
      path,
      permission,
      protected: true,
      parameters: { ...parameters, background_delay: integer(1, 30) },
      handle: (call) => {
        const work = prepare(call, kind);
        return call.fork('qmconfig', String(numberOf(call, 'vmid')), work);
      },
    });
  }
  return methods;
}
