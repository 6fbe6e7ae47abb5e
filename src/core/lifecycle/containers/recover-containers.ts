import type { Backend } from '../../model/backend.ts';
import type { ContainerRecord } from '../../model/container.ts';
import type { RootfsMounts } from '../../model/rootfs-mounts.ts';
import { needPlace } from '../rootfs-place.ts';
import type { ContainerServiceOptions } from './container-service.ts';
import type { ContainerStore } from './container-store.ts';
import { rootfsIds } from './image-volumes.ts';
import { exited, lost } from './outcome.ts';

/**
 * Reconciles one container's record with the runner: interrupted creations are removed by `remove`, exits that happened
 * meanwhile are recorded with their code and time.
 */
export async function recoverContainer(
  options: ContainerServiceOptions,
  store: ContainerStore,
  record: ContainerRecord,
  remove: () => Promise<void>,
): Promise<void> {
  const { pods, clock, events, logger } = options;
  if (record.phase === 'exited') return;
  if (record.phase === 'creating') {
    logger.info('Removing interrupted container creation', { containerId: record.id });
    await remove();
    return events.recovered('container', 'removed');
  }
  const runner = pods.backendOf(record.sandboxId).runner;
  const state = await runner.inspect(record.id);
  switch (state.status) {
    case 'absent':
      return store.finish(
        lost(record, clock.now(), 'not found when the server started, as after a reboot of the node'),
      );
    case 'stopped':
      // In a shared PID namespace, the children of the first process do not exit with it.
      await runner.killAll(record.id);
      if (state.exit !== undefined) return store.finish(exited(record, state.exit));
      return store.finish(lost(record, clock.now(), 'its monitor exited without reporting an exit code'));
    case 'created':
      if (record.phase !== 'created') await store.settle({ ...record, phase: 'created', startedAt: 0n });
      return;
    case 'running':
      if (record.phase !== 'running') await store.settle({ ...record, phase: 'running' });
      return;
  }
}

/** Continues a container that a killed process has frozen, maybe amid a restore of its root filesystem. */
export async function continueFrozen({ runner, platform }: Backend, id: string): Promise<void> {
  if (await runner.resume(id)) await platform.rootfs.dropCache();
}

/** Ids of the mounted root filesystems, listed once for each platform. */
export function mountPointsOnce(): (mounts: RootfsMounts) => Promise<ReadonlySet<string>> {
  const asked = new Map<RootfsMounts, Promise<ReadonlySet<string>>>();
  const ask = async (mounts: RootfsMounts) =>
    new Set((await mounts.list()).filter(({ isMounted }) => isMounted).map(({ id }) => id));
  return (mounts) => {
    const answer = asked.get(mounts) ?? ask(mounts);
    asked.set(mounts, answer);
    return answer;
  };
}

/** Mounts the root filesystems of a live container that are not mounted any more. @throws Error, CriError FAILED_PRECONDITION. */
export async function remount(
  { pods, stores }: ContainerServiceOptions,
  record: ContainerRecord,
  mounted: ReturnType<typeof mountPointsOnce>,
): Promise<void> {
  // Mounted by an earlier version, in its own directory in the store.
  if (record.rootfsStore === undefined) return;
  const { store, mounts } = needPlace(record, pods.backendOf(record.sandboxId), stores);
  const present = await mounted(mounts);
  for (const id of rootfsIds(record)) {
    if (present.has(id)) continue;
    const rootfs = await store.get(id);
    if (rootfs === undefined) throw new Error(`its root filesystem ${id} is not in the store ${store.name}`);
    await mounts.mount(id, rootfs);
  }
}
