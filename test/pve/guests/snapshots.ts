import { fault } from '../http/api-error.ts';
import type { ClusterState } from '../state/cluster-state.ts';
import type { GuestRef } from '../state/guest-files.ts';
import type { Worker } from '../state/tasks.ts';
import { copySection, emptySection, type GuestConfig, type Section } from '../config/config-text.ts';
import { volumesOf } from './disks.ts';
import { checkLock, isTemplate, loadGuest, saveGuest } from '../config/guest.ts';

/** Whether every disk lies where snapshots can be made. */
export function canSnapshot(state: ClusterState, ref: GuestRef, config: Pick<GuestConfig, 'current'>): boolean {
  return volumesOf(ref.kind, config).every(({ volid }) => {
    const { type } = state.volumes.config(volid.split(':')[0]!);
    return type === 'btrfs' || (ref.kind.type === 'qemu' && volid.endsWith('.qcow2'));
  });
}

function snapshotOf(config: GuestConfig, name: string): Section {
  const section = config.snapshots.get(name);
  if (section === undefined) throw fault(`snapshot '${name}' does not exist`);
  return section;
}

/** The snapshots of a guest, and where it stands. */
export function listSnapshots(state: ClusterState, ref: GuestRef): Record<string, unknown>[] {
  const config = loadGuest(state, ref);
  const parentOf = (section: Section): Record<string, string> =>
    section.values['parent'] === undefined ? {} : { parent: section.values['parent'] };
  return [
    ...[...config.snapshots].map(([name, section]) => ({
      name,
      description: section.description ?? '',
      snaptime: Number(section.values['snaptime'] ?? 0),
      ...parentOf(section),
    })),
    {
      name: 'current',
      description: 'You are here!',
      digest: config.digest,
      running: state.runtime.running(ref) === undefined ? 0 : 1,
      ...parentOf(config.current),
    },
  ];
}

/** The work of a snapshot task. */
export function snapshotter(
  state: ClusterState,
  ref: GuestRef,
  name: string,
  description: string,
): (worker: Worker) => Promise<void> {
  return ({ signal }) =>
    state.locked(
      ref.kind,
      ref.vmid,
      async () => {
        const config = loadGuest(state, ref);
        if (isTemplate(config)) throw fault("you can't take a snapshot if it's a template");
        checkLock(ref, config);
        if (config.snapshots.has(name)) throw fault(`snapshot name '${name}' already used`);
        if (!canSnapshot(state, ref, config)) throw fault('snapshot feature is not available');
        await state.pause(500);
        const section = copySection(config.current);
        delete section.description;
        if (description !== '') section.description = description;
        section.values['snaptime'] = String(Math.floor(Date.now() / 1000));
        config.snapshots.set(name, section);
        config.current.values['parent'] = name;
        saveGuest(state, ref, config);
      },
      signal,
    );
}

/** The work of a rollback task; `afterwards` is done when the guest is free again. */
export function rollbacker(
  state: ClusterState,
  ref: GuestRef,
  name: string,
  afterwards: () => Promise<void>,
): (worker: Worker) => Promise<void> {
  return async ({ signal }) => {
    await state.locked(
      ref.kind,
      ref.vmid,
      async () => {
        const config = loadGuest(state, ref);
        const section = copySection(snapshotOf(config, name));
        checkLock(ref, config);
        if (isTemplate(config)) throw fault("you can't rollback if vm is a template");
        await state.runtime.stop(ref);
        await state.pause(500);
        delete section.values['snaptime'];
        delete section.description;
        section.values['parent'] = name;
        const { description } = config.current;
        saveGuest(state, ref, {
          current: { ...section, ...(description === undefined ? {} : { description }) },
          pending: emptySection(),
          snapshots: config.snapshots,
        });
      },
      signal,
    );
    await afterwards();
  };
}

/** The work of a task that deletes a snapshot. */
export function snapshotDeleter(state: ClusterState, ref: GuestRef, name: string): (worker: Worker) => Promise<void> {
  return ({ signal }) =>
    state.locked(
      ref.kind,
      ref.vmid,
      async () => {
        const config = loadGuest(state, ref);
        checkLock(ref, config);
        const { parent } = snapshotOf(config, name).values;
        await state.pause(300);
        config.snapshots.delete(name);
        for (const section of [config.current, ...config.snapshots.values()]) {
          if (section.values['parent'] !== name) continue;
          if (parent === undefined) delete section.values['parent'];
          else section.values['parent'] = parent;
        }
        saveGuest(state, ref, config);
      },
      signal,
    );
}

/**
 * Sets the description of a snapshot.
 * @throws ApiError when there is none of that name.
 */
export function describeSnapshot(state: ClusterState, ref: GuestRef, name: string, description: string): void {
  const config = loadGuest(state, ref);
  checkLock(ref, config);
  snapshotOf(config, name).description = description;
  saveGuest(state, ref, config);
}
