import { fault } from '../../http/api-error.ts';
import * as formats from '../params/formats.ts';
import { flag, required, text } from '../params/property.ts';
import { loadGuest } from '../../config/guest.ts';
import type { Kind } from '../../config/kind.ts';
import { startNested } from '../../guests/lifecycle.ts';
import { describeSnapshot, listSnapshots, rollbacker, snapshotDeleter, snapshotter } from '../../guests/snapshots.ts';
import { snapshotView } from '../../config/views.ts';
import { numberOf, textOf, type Method } from '../method.ts';
import { guestOf, guestPath, onGuest } from './common.ts';

const reserved = ['current', 'vzdump'];

/** Snapshots of guests. */
export function snapshotMethods(kind: Kind): Method[] {
  const list = guestPath(kind, '/snapshot');
  const one = `${list}/{snapname}`;
  return [
    {
      verb: 'GET',
      path: list,
      permission: onGuest('VM.Audit'),
      protected: true,
      handle: (call) => listSnapshots(call.state, guestOf(call, kind)),
    },
    {
      verb: 'POST',
      path: list,
      permission: onGuest('VM.Snapshot'),
      protected: true,
      parameters: {
        snapname: required(text({ format: formats.configId, maxLength: 40 })),
        description: text(),
        ...(kind.type === 'qemu' ? { vmstate: flag } : {}),
      },
      handle: (call) => {
        const ref = guestOf(call, kind);
        const name = textOf(call, 'snapname');
        if (reserved.includes(name)) throw fault(`unable to use snapshot name '${name}' (reserved name)`);
        if (numberOf(call, 'vmstate') === 1)
          throw fault('saving memory needs a QEMU process, which the simulated node does not run');
        const work = snapshotter(call.state, ref, name, textOf(call, 'description'));
        return call.fork(`${kind.tasks}snapshot`, String(ref.vmid), work);
      },
    },
    {
      verb: 'GET',
      path: one,
      permission: 'all',
      handle: () => ['rollback', 'config'].map((cmd) => ({ cmd })),
    },
    {
      verb: 'DELETE',
      path: one,
      permission: onGuest('VM.Snapshot'),
      protected: true,
      parameters: { force: flag },
      handle: (call) => {
        const ref = guestOf(call, kind);
        return call.fork(
          `${kind.tasks}delsnapshot`,
          String(ref.vmid),
          snapshotDeleter(call.state, ref, textOf(call, 'snapname'), numberOf(call, 'force') === 1),
        );
      },
    },
    {
      verb: 'POST',
      path: `${one}/rollback`,
      permission: onGuest('VM.Snapshot', 'VM.Snapshot.Rollback'),
      protected: true,
      parameters: { start: flag },
      handle: (call) => {
        const ref = guestOf(call, kind);
        const afterwards = async (): Promise<void> => {
          if (numberOf(call, 'start') === 1) await startNested(call, ref);
        };
        const work = rollbacker(call.state, ref, textOf(call, 'snapname'), afterwards);
        return call.fork(`${kind.tasks}rollback`, String(ref.vmid), work);
      },
    },
    {
      verb: 'GET',
      path: `${one}/config`,
      permission: onGuest('VM.Snapshot', 'VM.Snapshot.Rollback', 'VM.Audit'),
      handle: (call) => snapshotView(kind, loadGuest(call.state, guestOf(call, kind)), textOf(call, 'snapname')),
    },
    {
      verb: 'PUT',
      path: `${one}/config`,
      permission: onGuest('VM.Snapshot'),
      protected: true,
      parameters: { description: text() },
      handle: (call) => {
        const ref = guestOf(call, kind);
        return call.state.locked(kind, ref.vmid, () =>
          describeSnapshot(call.state, ref, textOf(call, 'snapname'), textOf(call, 'description')),
        );
      },
    },
  ];
}
