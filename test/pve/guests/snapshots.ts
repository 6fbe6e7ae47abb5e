import { fault, messageOf } from '../http/api-error.ts';
import type { ClusterState } from '../state/cluster-state.ts';
import type { GuestRef } from '../state/guest-files.ts';
import type { Worker } from '../state/tasks.ts';
import { copySection, emptySection, type GuestConfig, type Section } from '../config/config-text.ts';
import { keepUnused, volumesOf } from './disks.ts';
import { checkLock, isTemplate, loadGuest, saveGuest } from '../config/guest.ts';

/** Whether every disk lies where snapshots can be made. */
export function canSnapshot(state: ClusterState, ref: GuestRef, config: Pick<GuestConfig, 'current'>): boolean {
  const options = { guest: ref.kind.type };
  return volumesOf(ref.kind, config).every(({ volid }) => state.volumes.has('snapshot', volid, options));
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

/** Takes the snapshots of a guest's disks; where one fails, there are none. */
async function snapshotDisks(
  state: ClusterState,
  { kind }: GuestRef,
  config: GuestConfig,
  name: string,
  log: (line: string) => void,
): Promise<void> {
  const made: string[] = [];
  try {
    for (const { volid } of volumesOf(kind, config)) {
      await state.volumes.snapshot(volid, name);
      made.push(volid);
    }
  } catch (error) {
    log('snapshot create failed: starting cleanup');
    for (const volid of made)
      await state.volumes.deleteSnapshot(volid, name).catch((failure: unknown) => log(messageOf(failure)));
    throw error;
  }
}

/** The work of a snapshot task. */
export function snapshotter(
  state: ClusterState,
  ref: GuestRef,
  name: string,
  description: string,
): (worker: Worker) => Promise<void> {
  return ({ signal, log }) =>
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
        await state.runtime.frozen(ref, () => snapshotDisks(state, ref, config, name, log));
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
        const disks = volumesOf(ref.kind, { current: section });
        for (const { volid } of disks) await state.volumes.checkRollback(volid, name);
        await state.runtime.stop(ref);
        for (const { volid } of disks) await state.volumes.rollback(volid, name);
        await state.pause(500);
        delete section.values['snaptime'];
        delete section.description;
        section.values['parent'] = name;
        const { description } = config.current;
        const before = volumesOf(ref.kind, config).map(({ volid }) => volid);
        const after = {
          current: { ...section, ...(description === undefined ? {} : { description }) },
          pending: emptySection(),
          snapshots: config.snapshots,
        };
        for (const volid of before) keepUnused(ref.kind, after, volid);
        saveGuest(state, ref, after);
      },
      signal,
    );
    await afterwards();
  };
}

/** The work of a task that deletes a snapshot; with `force` also where its disks have none. */
export function snapshotDeleter(
  state: ClusterState,
  ref: GuestRef,
  name: string,
  force: boolean,
): (worker: Worker) => Promise<void> {
  return ({ signal, log }) =>
    state.locked(
      ref.kind,
      ref.vmid,
      async () => {
        const config = loadGuest(state, ref);
        checkLock(ref, config);
        const section = snapshotOf(config, name);
        const { parent } = section.values;
        await state.pause(300);
        const disks = volumesOf(ref.kind, { current: section });
        for (const { volid } of disks) {
          await state.volumes.deleteSnapshot(volid, name).catch((error: unknown) => {
            if (!force) throw error;
            log(messageOf(error));
          });
        }
        config.snapshots.delete(name);
        for (const { volid } of disks) keepUnused(ref.kind, config, volid);
        for (const { values } of [config.current, ...config.snapshots.values()]) {
          if (values['parent'] !== name) continue;
          if (parent === undefined) delete values['parent'];
          else values['parent'] = parent;
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
